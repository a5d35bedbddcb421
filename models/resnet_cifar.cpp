#include "cks/models/resnet_cifar.h"

#include "cks/core/ops/activation.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/shape.h"

namespace cks {

BasicBlock::BasicBlock(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)),
      options_(options),
      conv1{this,
            "conv1",
            {.in_channels = options.in_channels,
             .out_channels = options.out_channels,
             .kernel_size = 3,
             .stride = options.stride,
             .padding = 1,
             .bias = false}},
      bn1{this, "bn1", {.num_features = options.out_channels}},
      conv2{this,
            "conv2",
            {.in_channels = options.out_channels,
             .out_channels = options.out_channels,
             .kernel_size = 3,
             .padding = 1,
             .bias = false}},
      bn2{this, "bn2", {.num_features = options.out_channels}} {
  if (options.out_channels < options.in_channels) {
    throw ShapeError("BasicBlock " + path() + ": a shortcut of option A only adds channels, got " +
                     std::to_string(options.in_channels) + " -> " +
                     std::to_string(options.out_channels));
  }
}

Tensor BasicBlock::forward(const Tensor& input) {
  Tensor x = relu(bn1(conv1(input)));
  x = bn2(conv2(x));
  return relu(x + shortcut(input));
}

Tensor BasicBlock::shortcut(const Tensor& input) const {
  Tensor x = input;
  if (options_.stride != 1) {
    x = slice(x, 1, 0, x.size(1), options_.stride);
    x = slice(x, 2, 0, x.size(2), options_.stride);
  }
  if (const std::int64_t added = options_.out_channels - options_.in_channels; added > 0) {
    x = pad(x, {{}, {}, {}, {.before = added / 2, .after = added - added / 2}});
  }
  return x;
}

std::string BasicBlock::description() const {
  return std::to_string(options_.in_channels) + " -> " + std::to_string(options_.out_channels) +
         (options_.stride == 1 ? "" : ", stride " + std::to_string(options_.stride));
}

ResNetCifar::ResNetCifar(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  if (options.depth < 8 || (options.depth - 2) % 6 != 0) {
    throw ShapeError(
        "ResNetCifar: depth must be 6n+2 with n >= 1 (8, 14, 20, 32, 44, 56, 110), "
        "got " +
        std::to_string(options.depth));
  }
  add_blocks(layer1, 16, 16, 1);
  add_blocks(layer2, 16, 32, 2);
  add_blocks(layer3, 32, 64, 2);
}

void ResNetCifar::add_blocks(Sequential& stage, std::int64_t in_channels, std::int64_t out_channels,
                             std::int64_t stride) const {
  const std::int64_t blocks = (options_.depth - 2) / 6;
  stage.add<BasicBlock>(
      {.in_channels = in_channels, .out_channels = out_channels, .stride = stride});
  for (std::int64_t i = 1; i < blocks; ++i) {
    stage.add<BasicBlock>({.in_channels = out_channels, .out_channels = out_channels});
  }
}

Tensor ResNetCifar::forward(const Tensor& images) {
  Tensor x = relu(bn1(conv1(images)));
  x = layer3(layer2(layer1(x)));
  return fc(flatten_chw(global_avg_pool2d(x)));
}

std::string ResNetCifar::description() const { return "depth " + std::to_string(options_.depth); }

}  // namespace cks
