#include "cks/layers/flatten.h"

#include "cks/core/ops/shape.h"

namespace cks {

Tensor Flatten::forward(const Tensor& input) { return flatten_chw(input); }

}  // namespace cks
