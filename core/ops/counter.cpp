#include "cks/core/ops/counter.h"

#include "cks/core/ops/common.h"
#include "cks/kernels/common/counter.h"

namespace cks {

void count_up_(Tensor& counter) {
  ops::require_dtype("count_up_", {"counter", counter}, DType::int64);
  if (counter.numel() != 1) {
    throw ShapeError("count_up_: counter has shape " + counter.shape().to_string() +
                     ", expected one element");
  }
  CKS_KERNEL(counter.device(), count_up(counter.data_as<std::int64_t>()));
  counter.bump_version();
}

}  // namespace cks
