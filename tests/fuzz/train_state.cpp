// Reads the state of a training run, a safetensors file with a checksum, or its text alone:
// load_train_state(), parse_train_state().
// Dictionary: safetensors
// Covers: apps/train/checkpoint.cpp:from_json|parse_train_state|load_train_state|differences
// Covers: core/optim/named_state.cpp
#include "cks/core/optim/adam.h"
#include "cks/layers/linear.h"
#include "cks/train/checkpoint.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Run {
  cks::Linear model{{.in_features = 2, .out_features = 1}};
  cks::Adam optimizer{model.named_parameters()};
  cks::WeightAverage average{model.named_parameters(), {}};
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  static Run run;
  const std::string_view bytes = cks::fuzz::text_of(data, size);
  if (bytes.starts_with('{')) {
    cks::fuzz::takes([&] {
      const std::string text = cks::train_state_text(cks::parse_train_state(std::string(bytes)));
      cks::fuzz::require(cks::train_state_text(cks::parse_train_state(text)) == text);
    });
    return 0;
  }
  file.fill(bytes);
  cks::fuzz::takes([] {
    cks::load_train_state(file.path(), run.model, run.optimizer, {{"model", "linear"}});
  });
  cks::fuzz::takes(
      [] { cks::load_train_state(file.path(), run.model, run.optimizer, {}, &run.average); });
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_safetensors(data, size, most, seed);
}
