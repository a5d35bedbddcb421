#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Over one axis, -1 being the last: exp(x) / sum(exp(x)), computed around the greatest element, so
/// that large numbers do not overflow. Any rank >= 1; float32 or float64; differentiable. Another
/// axis than the last costs two transposes. Throws ShapeError for rank 0, an axis that is not there
/// or is empty; DtypeError.
Tensor softmax(const Tensor& input, int axis = -1);
/// Its logarithm, computed without dividing: accurate where the softmax is almost 0.
Tensor log_softmax(const Tensor& input, int axis = -1);

}  // namespace cks
