#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Over the last axis: exp(x) / sum(exp(x)), computed around the greatest element, so that large
/// numbers do not overflow. Any rank >= 1; float32 or float64; differentiable.
/// Throws ShapeError for rank 0 or an empty last axis, DtypeError.
Tensor softmax(const Tensor& input);
/// Its logarithm, computed without dividing: accurate where the softmax is almost 0.
Tensor log_softmax(const Tensor& input);

}  // namespace cks
