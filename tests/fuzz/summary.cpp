// Reads summary.json: read_summary().
// Dictionary: json
// Covers: apps/train/summary.cpp:read_summary
// Covers: core/io/json_impl.h:9read_jsonI.*RT_$
#include "cks/train/trainer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] { cks::read_summary(file.path()); });
  return 0;
}
