#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Arithmetic and functions of each element.
///
/// Shapes     two tensors broadcast by NumPy's rule; gradients are summed back to their shapes.
/// Dtype      float32 or float64; two tensors have the same one. A double joins in the tensor's.
/// Gradients  for every tensor that requires one. Where a function has a kink, its comment says
///            what the gradient is there.
/// Throws     Error if a tensor is undefined; DtypeError, DeviceError, ShapeError. The message
///            names the operation and both shapes.

Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, double b);
Tensor operator-(const Tensor& a, double b);
Tensor operator*(const Tensor& a, double b);
Tensor operator/(const Tensor& a, double b);
Tensor operator+(double a, const Tensor& b);
Tensor operator-(double a, const Tensor& b);
Tensor operator*(double a, const Tensor& b);
Tensor operator/(double a, const Tensor& b);
Tensor operator-(const Tensor& input);

/// The greater and the lesser of two elements; NaN if either is. Equal elements get half of the
/// gradient each.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

/// Elements of `a` where the condition is not 0, of `b` elsewhere. All three broadcast. The
/// condition is uint8, `a` and `b` have any one dtype; gradients go to float32 and float64.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

/// |x|; gradient 0 at 0.
Tensor abs(const Tensor& input);
Tensor square(const Tensor& input);
Tensor exp(const Tensor& input);
/// Natural logarithm.
Tensor log(const Tensor& input);
Tensor sqrt(const Tensor& input);
/// x to a constant power. NaN for x < 0 unless the exponent is a whole number.
Tensor pow(const Tensor& input, double exponent);
/// The nearest value within [low, high]; NaN stays. The gradient passes at the bounds, and not
/// beyond them. Throws Error unless low <= high.
Tensor clamp(const Tensor& input, double low, double high);

}  // namespace cks
