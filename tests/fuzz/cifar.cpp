// Reads CIFAR's binary files and class names, in a folder or an archive: load_cifar(). The input
// chooses their sizes and what is repeated in them; archives themselves are tar.cpp's.
// Covers: datasets/cifar.cpp:Members|count_images|6unpackERKNS0|read_images|parse_names
#include "cks/datasets/cifar.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "cks/kernels/common/parallel_for.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// CIFAR-100's three files, whose bytes are in memory.
struct Folder {
  cks::fuzz::MemoryFile train, test, names, archive;

  Folder() {
    cks::kernels::set_num_threads(1);
    link(train, "train.bin");
    link(test, "test.bin");
    link(names, "fine_label_names.txt");
    link(names, "coarse_label_names.txt");
  }
  static void link(const cks::fuzz::MemoryFile& file, const std::string& name) {
    std::filesystem::create_symlink(file.path(), cks::fuzz::memory_folder() + "/" + name);
  }
};

/// Records, with perhaps a few bytes more, that hold `pattern` again and again.
std::string records(cks::fuzz::Choices& choices, std::string_view pattern) {
  constexpr std::size_t kRecord = 3074;
  std::string bytes(pattern);
  bytes.resize(std::max<std::size_t>(pattern.size(), 1));
  const std::size_t size = kRecord * choices.below(4) + choices.byte() / 250;
  while (bytes.size() < size) {
    bytes += bytes;
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Folder folder;
  cks::fuzz::Choices choices(data, size);
  const cks::CifarOptions options{.coarse = choices.below(2) == 1,
                                  .any_count = choices.below(8) != 0};
  const std::string_view pattern = choices.rest().substr(0, 16);
  const bool is_archive = choices.below(2) == 1;
  const std::string train = records(choices, pattern);
  const std::string test = records(choices, pattern);
  cks::CifarFiles files{cks::CifarKind::cifar100, cks::fuzz::memory_folder(), ""};
  if (is_archive) {
    const std::string last = choices.below(8) == 0 ? "train.bin" : "fine_label_names.txt";
    folder.archive.fill(cks::fuzz::tar_of({{"train.bin", train},
                                           {"x/test.bin", test},
                                           {"unused", ""},
                                           {last, std::string(choices.rest())}}));
    files = {cks::CifarKind::cifar100, "", folder.archive.path()};
  } else {
    folder.train.fill(train);
    folder.test.fill(test);
    folder.names.fill(choices.rest());
  }
  cks::fuzz::takes([&] {
    const cks::TrainTest read = cks::load_cifar(files, options);
    cks::fuzz::require(read.train.classes() == (options.coarse ? 20 : 100));
  });
  return 0;
}
