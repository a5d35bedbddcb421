#include "cks/layers/linear.h"

#include "cks/core/ops/matmul.h"
#include "cks/layers/check.h"
#include "cks/layers/init.h"

namespace cks {

Linear::Linear(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  layers::require_at_least(*this, "Linear", "in_features", options.in_features, 1);
  layers::require_at_least(*this, "Linear", "out_features", options.out_features, 1);
  register_parameter("weight", weight, Tensor::empty({options.out_features, options.in_features}));
  if (options.bias) {
    register_parameter("bias", bias, Tensor::empty({options.out_features}));
  }
  Linear::reset_parameters(0);
}

void Linear::reset_parameters(std::uint64_t seed) {
  init::weight_and_bias(weight, bias, seed, path());
}

Tensor Linear::forward(const Tensor& input) { return linear(input, weight, bias); }

std::string Linear::description() const {
  const std::string text =
      std::to_string(options_.in_features) + " -> " + std::to_string(options_.out_features);
  return options_.bias ? text : text + ", no bias";
}

}  // namespace cks
