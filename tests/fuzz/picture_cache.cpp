// Reads the decoded pictures that an earlier start kept: PictureCache.
// Dictionary: safetensors
// Covers: datasets/images/picture_cache.cpp:PictureCacheC2|6unpackERKNS_|PictureCache4find
#include <filesystem>
#include <string>

#include "cks/datasets/images/picture_cache_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr const char* kWay = "way";

/// The cache of a folder, which is in memory.
struct Cache {
  cks::fuzz::MemoryFile file;
  std::string folder = cks::fuzz::memory_folder() + "/cache";

  Cache() {
    cks::kernels::set_num_threads(1);
    cks::PictureCache cache(folder, "root", kWay, 3);
    cache.add(cks::Tensor::zeros({1, 1, 1, 3}, cks::DType::uint8), {{.path = "a"}});
    cks::fuzz::require(cache.store(1 << 20).empty());
    const std::filesystem::path made = std::filesystem::directory_iterator(folder)->path();
    std::filesystem::remove(made);
    std::filesystem::create_symlink(file.path(), made);
  }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Cache cache;
  cache.file.fill(cks::fuzz::text_of(data, size));
  const cks::PictureCache read(cache.folder, "root", kWay,
                               3);  // one that is damaged counts as none
  for (const char* path : {"a", "b"}) {
    if (const cks::KeptPicture* const kept = read.find(path, {1, 2, 3}); kept != nullptr) {
      cks::fuzz::require(kept->image.rank() == 3 && kept->image.size(2) == 3 &&
                         kept->image.dtype() == cks::DType::uint8 && kept->image.nbytes() <= size);
    }
  }
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_safetensors(data, size, most, seed);
}
