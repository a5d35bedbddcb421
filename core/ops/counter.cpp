#include "cks/core/ops/counter.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/counter/counter.h"

namespace cks {

void count_up_(Tensor& counter) {
  ops::require_dtype("count_up_", {"counter", counter}, DType::int64);
  ops::require_one_element("count_up_", {"counter", counter});
  CKS_KERNEL(counter.device(), count_up(counter.data_as<std::int64_t>()));
  counter.bump_version();
}

}  // namespace cks
