// Reads tar archives, plain and gzip: TarReader.
// Covers: datasets/readers/tar.cpp
#include "cks/datasets/readers/tar.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] {
    constexpr std::uint64_t kMost = 1500;
    cks::TarReader tar(file.path());
    for (int number = 0; const std::optional<cks::TarEntry> entry = tar.next(); ++number) {
      cks::fuzz::require(entry->name.size() <= 256);
      if (number % 2 == 0) {
        cks::fuzz::require(tar.content(kMost).size() == entry->size);
      }
    }
    cks::fuzz::require(!tar.next());
  });
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_tar(data, size, most, seed);
}
