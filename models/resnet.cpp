#include "cks/models/resnet.h"

#include <array>

#include "cks/core/ops/pool2d.h"
#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/models/parts_impl.h"

namespace cks {
namespace {

Conv2d::Options stem_options(const ResNet::Options& options) {
  const bool large = options.stem == ResNet::Stem::conv7x7;
  return {.in_channels = options.in_channels,
          .out_channels = 64,
          .kernel_size = large ? 7 : 3,
          .stride = large ? 2 : 1,
          .padding = large ? 3 : 1,
          .bias = false};
}

std::array<std::int64_t, 4> blocks_of(std::int64_t depth) {
  switch (depth) {
    case 18:
      return {2, 2, 2, 2};
    case 34:
      return {3, 4, 6, 3};
    default:
      throw ShapeError(formatted("ResNet: depth must be 18 or 34, got {}", depth));
  }
}

BasicBlock::Options first_block(std::int64_t in_channels, std::int64_t out_channels) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .stride = in_channels == out_channels ? 1 : 2,
          .shortcut = BasicBlock::Shortcut::project,
          .negative_slope = models::kSlope};
}

}  // namespace

ResNet::ResNet(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options), conv1{this, "conv1", stem_options(options)} {
  const std::array<std::int64_t, 4> blocks = blocks_of(options.depth);
  add_stage(layer1, blocks[0], first_block(64, 64));
  add_stage(layer2, blocks[1], first_block(64, 128));
  add_stage(layer3, blocks[2], first_block(128, 256));
  add_stage(layer4, blocks[3], first_block(256, 512));
  models::add_classifier(classifier, 512, 128, options.classes);
}

Tensor ResNet::forward(const Tensor& images) {
  const Tensor x = layer4(layer3(layer2(layer1(bn1(conv1(images))))));
  return classifier(flatten_chw(global_avg_pool2d(x)));
}

std::string ResNet::description() const {
  return formatted("depth {}, stem {}", options().depth,
                   options().stem == Stem::conv7x7 ? "7x7" : "3x3");
}

}  // namespace cks
