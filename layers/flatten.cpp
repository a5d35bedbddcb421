#include "cks/layers/flatten.h"

#include "cks/core/ops/rearrange.h"

namespace cks {

Tensor Flatten::forward(const Tensor& input) { return flatten_chw(input); }

}  // namespace cks
