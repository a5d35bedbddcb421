#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks::ops {

/// a b + added, or a b^T + added, in one pass, for matrices of one type and of matching shapes;
/// added may be undefined. Off the tape.
Tensor product_and(const char* operation, const Tensor& a, const Tensor& b, bool transpose_b,
                   const Tensor& added);

}  // namespace cks::ops
