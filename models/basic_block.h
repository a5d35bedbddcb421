#pragma once
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/sequential.h"

namespace cks {

struct BasicBlockOptions {
  enum class Shortcut : std::uint8_t { pad, project };  // where the shape changes

  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;  // at least in_channels for a shortcut that pads
  std::int64_t stride = 1;
  Shortcut shortcut = Shortcut::pad;
  double negative_slope = 0.0;  // of the activation below 0
};

/// Two 3x3 convolutions and a shortcut around them: f(bn2(conv2(f(bn1(conv1(x))))) + S(x)), the
/// block of every residual network here. f is ReLU, or LeakyReLU where a slope is given.
///
/// Where the map shrinks or channels are added, S is one of two:
///   pad      option A of He et al., which has no parameters: every stride-th pixel, and the new
///            channels zero, half of them before and half after the old.
///   project  a convolution 3x3 with the block's stride, then batch normalisation: `downsample`.
/// Elsewhere S is the identity.
class BasicBlock : public Layer<BasicBlock, BasicBlockOptions> {
 public:
  using Shortcut = BasicBlockOptions::Shortcut;

  explicit BasicBlock(const Options& options) : BasicBlock(nullptr, {}, options) {}
  /// Throws ShapeError if a shortcut that pads would have to drop channels.
  BasicBlock(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  BasicBlock(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override;
  std::string description() const override;

  Conv2d conv1;
  BatchNorm2d bn1;
  Conv2d conv2;
  BatchNorm2d bn2;
  Sequential downsample{this, "downsample"};  // empty where S has no parameters

 private:
  Tensor shortcut(const Tensor& input);
};

/// Appends a stage to a network: a block as `first` says, then blocks - 1 that keep its channels
/// and size.
void add_stage(Sequential& stage, std::int64_t blocks, const BasicBlock::Options& first);

}  // namespace cks
