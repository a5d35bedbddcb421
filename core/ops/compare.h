#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Comparisons: uint8 tensors of 0 and 1, off the tape. Two tensors broadcast by NumPy's rule and
/// have the same dtype, whichever it is; a double is converted to the tensor's (DtypeError if an
/// integer dtype cannot hold it). NaN differs from everything.

Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& a, double b);
Tensor not_equal(const Tensor& a, double b);
Tensor less(const Tensor& a, double b);
Tensor less_equal(const Tensor& a, double b);
Tensor greater(const Tensor& a, double b);
Tensor greater_equal(const Tensor& a, double b);

}  // namespace cks
