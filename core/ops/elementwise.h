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

/// a = a + b and so on, for all handles of `a`, whose shape must stay.
///
/// Where nothing is recorded (no gradient is required, or under NoGradGuard) the new elements go
/// into the old ones' place, as by copy_(): views see them, the version is raised, and a captured
/// step may do it. Where it is recorded, `a` becomes the result: it gets memory of its own and its
/// new place on the tape. All that shared its memory keeps the old elements: views of it, a reshape
/// of all of it too, what was detached from it, the caller's memory that from_blob() took, and what
/// backward needs.
///
/// Throws  ShapeError, changing nothing, if the result has another shape than `a`; AutogradError
///         where it would be recorded and `a` is a leaf that requires a gradient, or only a part of
///         its memory (a slice, x[i]), which the rest could not follow.
Tensor& operator+=(Tensor& a, const Tensor& b);
Tensor& operator-=(Tensor& a, const Tensor& b);
Tensor& operator*=(Tensor& a, const Tensor& b);
Tensor& operator/=(Tensor& a, const Tensor& b);
Tensor& operator+=(Tensor& a, double b);
Tensor& operator-=(Tensor& a, double b);
Tensor& operator*=(Tensor& a, double b);
Tensor& operator/=(Tensor& a, double b);

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
