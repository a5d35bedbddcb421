#include "cks/layers/activation.h"

#include "cks/core/ops/activation.h"
#include "cks/layers/check.h"

namespace cks {

Tensor ReLU::forward(const Tensor& input) { return relu(input); }

Tensor LeakyReLU::forward(const Tensor& input) {
  return leaky_relu(input, options_.negative_slope);
}

std::string LeakyReLU::description() const {
  return "slope " + layers::number_text(options_.negative_slope);
}

Tensor Sigmoid::forward(const Tensor& input) { return sigmoid(input); }

Tensor Tanh::forward(const Tensor& input) { return tanh(input); }

}  // namespace cks
