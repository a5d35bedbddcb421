// Reads gzip streams, and plain files, in pieces: ByteSource.
// Covers: datasets/readers/byte_source.cpp
#include "cks/datasets/readers/byte_source.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// Of a file's content, up to a limit: a small file may hold a thousand times more. Enough for more
/// than a buffer of ByteSource, or a piece of read_bytes().
constexpr std::uint64_t kMost = std::uint64_t{3} << 15;

/// Bytes that came before the end, the limit or an error.
template <class Next>
std::uint64_t bytes_of(const std::string& path, Next&& next) {
  std::uint64_t bytes = 0;
  cks::fuzz::takes([&] {
    cks::ByteSource source(path);
    for (std::uint64_t got = 1; got > 0 && bytes < kMost; bytes += got) {
      got = next(source, kMost - bytes);
      cks::fuzz::require(source.offset() == bytes + got);
    }
  });
  return bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  file.fill(cks::fuzz::text_of(data, size));
  const std::uint64_t read = bytes_of(file.path(), [](cks::ByteSource& source, std::uint64_t most) {
    std::uint8_t byte = 0;
    return most % 2 == 0 ? source.read(&byte, 1) : source.read_bytes(most).size();
  });
  const std::uint64_t passed = bytes_of(
      file.path(), [](cks::ByteSource& source, std::uint64_t most) { return source.skip(most); });
  cks::fuzz::require(passed == read || passed < 2 || read < 2);  // an error ends a piece
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_gzip(data, size, most, seed);
}
