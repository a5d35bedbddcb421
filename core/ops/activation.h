#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Functions between the layers of a network. Dtype: float32 or float64. NaN gives NaN.

/// max(x, 0); gradient 0 at 0.
Tensor relu(const Tensor& input);
/// x above 0, negative_slope * x elsewhere; gradient `negative_slope` at 0.
Tensor leaky_relu(const Tensor& input, double negative_slope = 0.01);
/// 1 / (1 + exp(-x)).
Tensor sigmoid(const Tensor& input);
Tensor tanh(const Tensor& input);
/// x * Phi(x), where Phi(x) = (1 + erf(x / sqrt(2))) / 2 is the distribution of standard normal
/// numbers: exact, not approximated by tanh. Gradient Phi(x) + x * phi(x), where phi(x) =
/// exp(-x^2 / 2) / sqrt(2 pi). 0 with gradient 0 at minus infinity, infinity with gradient 1 at
/// infinity. Source: Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv 1606.08415.
Tensor gelu(const Tensor& input);

namespace ops {

/// The gradient behind an operation's own activation, as it reaches what comes before that: grad
/// where the result is above 0, negative_slope * grad elsewhere. Off the tape.
Tensor masked_gradient(const char* operation, const Tensor& grad, const Tensor& result,
                       double negative_slope);

}  // namespace ops

}  // namespace cks
