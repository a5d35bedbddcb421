#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Adds 1, in place and on its device, to a count of steps: so that a captured step counts each
/// time it is repeated. Raises the version. Throws DtypeError unless int64, ShapeError unless the
/// tensor has one element.
void count_up_(Tensor& counter);

}  // namespace cks
