#pragma once
#include "cks/core/tensor/random.h"
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Sets each element to 0 with probability p and divides the others by 1 - p, so that the
/// expectation stays. For training; in evaluation, leave it out.
///
/// The choice for element i is a function of (key, step, i) alone, the same on every device; where
/// ranks share a batch (BatchPartScope), i counts from the whole batch's first element. `step`
/// (int64, one element) is read when the operation runs, and kept: whoever owns it may count it up
/// before the backward pass.
///
/// Dtype        float32 or float64.
/// Gradients    draws the choice again instead of keeping it.
/// Throws       Error unless p lies in [0, 1]; ShapeError, DtypeError for `step`.
Tensor dropout(const Tensor& input, double p, RandomKey key, const Tensor& step);

}  // namespace cks
