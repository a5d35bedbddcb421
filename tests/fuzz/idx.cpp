// Reads IDX files: read_idx_images(), read_idx_labels(), plain and gzip.
// Covers: datasets/readers/idx.cpp
#include "cks/datasets/readers/idx.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] {
    const cks::IdxFile read = cks::read_idx_images(file.path());
    cks::fuzz::require(read.content_bytes == 16 + read.values.nbytes());
  });
  cks::fuzz::takes([] {
    const cks::IdxFile read = cks::read_idx_labels(file.path(), 10, 1);
    for (const std::int64_t label : read.values.to_vector<std::int64_t>()) {
      cks::fuzz::require(label >= 0 && label < 10);
    }
  });
  return 0;
}
