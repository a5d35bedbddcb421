#include "cks/models/lenet.h"

#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"
#include "cks/models/parts_impl.h"

namespace cks {

std::int64_t LeNet5::features() const {
  const std::int64_t size = options().image_size;
  models::require_extent("LeNet5", "image_size", size, 12);
  const std::int64_t after_conv2 = size / 2 - 4;
  const std::int64_t last = after_conv2 / 2;
  return conv2.options().out_channels * last * last;
}

Tensor LeNet5::forward(const Tensor& images) {
  Tensor x = max_pool2d(conv1(images), {.kernel_size = 2});
  x = max_pool2d(conv2(x), {.kernel_size = 2});
  return fc3(fc2(fc1(flatten_chw(x))));
}

}  // namespace cks
