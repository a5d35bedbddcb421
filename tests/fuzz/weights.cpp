// Reads files of weights: what they say of themselves, and tensors into a model:
// read_checkpoint_info(), load_weights(), load_initial_weights().
// Dictionary: safetensors
// Covers: apps/train/weights.cpp:10read_field|read_checkp|12load_w|load_init|find_pref
// Covers: core/io/json_impl.h:read_json
#include "cks/layers/linear.h"
#include "cks/train/checkpoint.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Net : cks::Module {
  cks::Linear fc{this, "fc", {.in_features = 2, .out_features = 3}};
  cks::Linear head{this, "head", {.in_features = 3, .out_features = 2}};
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static cks::fuzz::MemoryFile file;
  static Net net;
  file.fill(cks::fuzz::text_of(data, size));
  cks::fuzz::takes([] {
    const cks::CheckpointInfo info = cks::read_checkpoint_info(file.path());
    cks::checkpoint_metadata(info);  // what was read can be written
  });
  cks::fuzz::takes([] { cks::load_weights(file.path(), net); });
  cks::fuzz::takes([] { cks::load_initial_weights(file.path(), net); });
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned seed) {
  return cks::fuzz::mutate_safetensors(data, size, most, seed);
}
