#include "cks/models/basic_block.h"

#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

Conv2d::Options conv3x3(std::int64_t in_channels, std::int64_t out_channels, std::int64_t stride) {
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .kernel_size = 3,
          .stride = stride,
          .padding = 1,
          .bias = false};
}

}  // namespace

BasicBlock::BasicBlock(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options),
      conv1{this, "conv1", conv3x3(options.in_channels, options.out_channels, options.stride)},
      bn1{this,
          "bn1",
          {.num_features = options.out_channels, .negative_slope = options.negative_slope}},
      conv2{this, "conv2", conv3x3(options.out_channels, options.out_channels, 1)},
      bn2{this,
          "bn2",
          {.num_features = options.out_channels, .negative_slope = options.negative_slope}} {
  if (options.shortcut == Shortcut::project) {
    if (options.stride != 1 || options.in_channels != options.out_channels) {
      downsample.add<Conv2d>(conv3x3(options.in_channels, options.out_channels, options.stride));
      downsample.add<BatchNorm2d>({.num_features = options.out_channels});
    }
  } else if (options.out_channels < options.in_channels) {
    throw ShapeError(
        formatted("BasicBlock {}: a shortcut of option A only adds channels, got {} -> {}", path(),
                  options.in_channels, options.out_channels));
  }
}

Tensor BasicBlock::forward(const Tensor& input) {
  return bn2(conv2(bn1(conv1(input))),
             shortcut(input));  // both normalisations end in the activation
}

Tensor BasicBlock::shortcut(const Tensor& input) {
  if (downsample.size() > 0) {
    return downsample(input);
  }
  if (options().shortcut == Shortcut::project) {
    return input;
  }
  Tensor x = input;
  if (options().stride != 1) {
    x = slice(x, 1, 0, x.size(1), options().stride);
    x = slice(x, 2, 0, x.size(2), options().stride);
  }
  if (const std::int64_t added = options().out_channels - options().in_channels; added > 0) {
    x = pad(x, {{}, {}, {}, {.before = added / 2, .after = added - added / 2}});
  }
  return x;
}

std::string BasicBlock::description() const {
  const BasicBlockOptions& o = options();
  return formatted("{} -> {}", o.in_channels, o.out_channels) +
         (o.stride == 1 ? std::string() : formatted(", stride {}", o.stride));
}

void add_stage(Sequential& stage, std::int64_t blocks, const BasicBlock::Options& first) {
  stage.add<BasicBlock>(first);
  BasicBlock::Options next = first;
  next.in_channels = first.out_channels;
  next.stride = 1;
  for (std::int64_t i = 1; i < blocks; ++i) {
    stage.add<BasicBlock>(next);
  }
}

}  // namespace cks
