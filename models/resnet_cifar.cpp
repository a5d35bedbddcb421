#include "cks/models/resnet_cifar.h"

#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

ResNetCifar::ResNetCifar(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  if (options.depth < 8 || (options.depth - 2) % 6 != 0) {
    throw ShapeError(formatted(
        "ResNetCifar: depth must be 6n+2 with n >= 1 (8, 14, 20, 32, 44, 56, 110), got {}",
        options.depth));
  }
  const std::int64_t blocks = (options.depth - 2) / 6;
  add_stage(layer1, blocks, {.in_channels = 16, .out_channels = 16});
  add_stage(layer2, blocks, {.in_channels = 16, .out_channels = 32, .stride = 2});
  add_stage(layer3, blocks, {.in_channels = 32, .out_channels = 64, .stride = 2});
}

Tensor ResNetCifar::forward(const Tensor& images) {
  const Tensor x = layer3(layer2(layer1(bn1(conv1(images)))));
  return fc(flatten_chw(global_avg_pool2d(x)));
}

}  // namespace cks
