#pragma once
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"
#include "cks/layers/sequential.h"
#include "cks/models/basic_block.h"

namespace cks {

struct ResNetCifarOptions {
  std::int64_t depth = 20;  // 6n+2
  std::int64_t classes = 10;
  std::int64_t in_channels = 3;
};

/// The residual networks for CIFAR of He, Zhang, Ren and Sun, "Deep Residual Learning for Image
/// Recognition" (CVPR 2016), section 4.2: 6n+2 layers with weights, n blocks in each of three
/// stages. A plain chain of 56 such layers trains worse than one of 20; with shortcuts, which let
/// the gradient pass each block unchanged, the deeper network wins.
///
///   step                        result for a 32x32 image    depth 20   32        56
///   input                       [N,32,32,3]
///   conv1 3x3, bn1, relu        [N,32,32,16]
///   layer1: n blocks            [N,32,32,16]                n = 3      5         9
///   layer2: n blocks, stride 2  [N,16,16,32]
///   layer3: n blocks, stride 2  [N,8,8,64]
///   global average              [N,64]
///   fc: the logits              [N,10]
///   parameters                                              269,722    464,154   853,018
///
/// What skipping saves in one training step at depth 20, in multiply-adds of the convolutions:
/// forward and filter gradient 8.9 % each, the zeros of the padding; input gradient 22.6 %, because
/// a plain one reads a map with stride-inserted zeros for the two convolutions of stride 2.
/// Together 13.9 % (12.1 % at depth 32, 10.9 % at 56).
class ResNetCifar : public Layer<ResNetCifar, ResNetCifarOptions> {
 public:
  explicit ResNetCifar(const Options& options = {}) : ResNetCifar(nullptr, {}, options) {}
  /// Throws ShapeError if the depth is not 6n+2 with n >= 1.
  ResNetCifar(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  ResNetCifar(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,H,W,in_channels] of any size to logits [N,classes].
  Tensor forward(const Tensor& images) override;
  std::string description() const override { return "depth " + std::to_string(options().depth); }

  Conv2d conv1{this,
               "conv1",
               {.in_channels = options().in_channels,
                .out_channels = 16,
                .kernel_size = 3,
                .padding = 1,
                .bias = false}};
  BatchNorm2d bn1{this, "bn1", {.num_features = 16, .negative_slope = 0.0}};
  Sequential layer1{this, "layer1"};
  Sequential layer2{this, "layer2"};
  Sequential layer3{this, "layer3"};
  Linear fc{this, "fc", {.in_features = 64, .out_features = options().classes}};
};

}  // namespace cks
