// Reads the file of plans that --tune keeps: ConvTuning. It takes those that it would make alone.
// Dictionary: plan_cache
// Covers: core/conv/conv_tuning.cpp:read_answers|parse_plan
#include "cks/core/conv/conv_tuning.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] { const cks::ConvTuning tuning(file.path()); });
  return 0;
}
