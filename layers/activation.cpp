#include "cks/layers/activation.h"

#include "cks/core/ops/activation.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

Tensor ReLU::forward(const Tensor& input) { return relu(input); }

Tensor LeakyReLU::forward(const Tensor& input) {
  return leaky_relu(input, options().negative_slope);
}

std::string LeakyReLU::description() const {
  return formatted("slope {:g}", options().negative_slope);
}

Tensor Sigmoid::forward(const Tensor& input) { return sigmoid(input); }

Tensor Tanh::forward(const Tensor& input) { return tanh(input); }

}  // namespace cks
