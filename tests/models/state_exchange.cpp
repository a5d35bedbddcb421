// One side of scripts/check_torch_exchange.py: moves a model's state between CKS and PyTorch as a
// safetensors file, with the output for images that both sides compute from their index.
//
//   state_exchange list                 the names of all models
//   state_exchange write MODEL FILE     a model after a few training passes, and its output
//   state_exchange compare MODEL FILE   loads what PyTorch wrote, strictly, and compares outputs
//
// Exit status 0 if everything fits, 1 if not, 2 for wrong arguments.

#include <cmath>
#include <iostream>
#include <string>

#include "cks/core/autograd/autograd.h"
#include "cks/core/io/safetensors.h"
#include "cks/models/registry.h"
#include "tests/golden/golden.h"

namespace cks {
namespace {

constexpr std::int64_t kBatch = 8;
constexpr double kTolerance = 1e-4;
const char* const kOutput = "exchange.output";

Tensor images_of(const std::string& name, std::uint64_t seed) {
  const ModelInfo& info = model_info(name);
  return golden::formula_tensor({kBatch, info.image_size, info.image_size, info.in_channels}, seed,
                                DType::float32);
}

Tensor evaluate(Module& model, const std::string& name) {
  model.eval();
  const NoGradGuard no_grad;
  return model(images_of(name, 1));
}

int write(const std::string& name, const std::string& path) {
  const auto model = make_model(name);
  golden::load_formula_state(*model, 11);  // of a variance at which no signal fades
  for (std::uint64_t seed = 2; seed < 12; ++seed) {
    const NoGradGuard no_grad;
    (*model)(images_of(name, seed));  // running statistics that are not the first ones
  }
  NamedTensors tensors = model->state_dict();
  tensors.emplace_back(kOutput, evaluate(*model, name));
  save_safetensors(path, tensors);
  return 0;
}

int compare(const std::string& name, const std::string& path) {
  NamedTensors state;
  Tensor expected;
  for (auto& [key, tensor] : load_safetensors(path).tensors) {
    if (key == kOutput) {
      expected = tensor;
    } else {
      state.emplace_back(key, tensor);
    }
  }
  const auto model = make_model(name);
  model->load_state_dict(state);
  const auto result = testing::compare(evaluate(*model, name), expected, {.absolute = kTolerance});
  std::cout << name << ": from PyTorch to CKS, " << state.size() << " tensors, outputs up to "
            << golden::largest(expected) << ", greatest difference " << result.max_error << '\n';
  if (!result.ok) {
    std::cerr << "state_exchange: " << result.message << '\n';
  }
  return result.ok ? 0 : 1;
}

}  // namespace
}  // namespace cks

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "list") {
    for (const cks::ModelInfo& info : cks::model_list()) {
      std::cout << info.name << '\n';
    }
    return 0;
  }
  const std::string command = argc == 4 ? argv[1] : "";
  if (command != "write" && command != "compare") {
    std::cerr << "usage: state_exchange list | write|compare MODEL FILE\n";
    return 2;
  }
  try {
    return command == "write" ? cks::write(argv[2], argv[3]) : cks::compare(argv[2], argv[3]);
  } catch (const cks::Error& error) {
    std::cerr << "state_exchange: " << error.what() << '\n';
    return 1;
  }
}
