#pragma once
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/sequential.h"
#include "cks/models/basic_block.h"

namespace cks {

struct ResNetOptions {
  /// The first convolution.
  enum class Stem : std::uint8_t {
    conv7x7,  // stride 2
    conv3x3,  // stride 1
  };

  std::int64_t depth = 18;  // or 34
  std::int64_t classes = 10;
  std::int64_t in_channels = 3;
  Stem stem = Stem::conv7x7;
};

/// ResNet-18 and ResNet-34 of He, Zhang, Ren and Sun, "Deep Residual Learning for Image
/// Recognition" (CVPR 2016), in the CIFAR version with which the C-K-S paper measures. A block
/// learns what to add to its input; the sum hands the gradient on unchanged, so that depth no
/// longer hinders training.
///
/// What this version changes of the original for 224x224 images: no max-pooling behind the first
/// convolution; LeakyReLU; a shortcut that changes its shape is a convolution 3x3, not 1x1; two
/// linear layers with dropout in place of one. The stem 3x3 is what most CIFAR recipes use: it
/// keeps every pixel and costs about four times as many multiply-adds.
///
///   step                      result for 32x32  with stem 3x3   parameters, 18          34
///   input                     [N,32,32,3]       [N,32,32,3]
///   conv1 7x7, stride 2, bn1  [N,16,16,64]      [N,32,32,64]             9,536       9,536
///   layer1: blocks of 64      [N,16,16,64]      [N,32,32,64]           147,968     221,952
///   layer2: of 128, stride 2  [N,8,8,128]       [N,16,16,128]          591,104   1,181,952
///   layer3: of 256, stride 2  [N,4,4,256]       [N,8,8,256]          2,361,856   7,084,544
///   layer4: of 512, stride 2  [N,2,2,512]       [N,4,4,512]          9,442,304  14,162,944
///   global average            [N,512]           [N,512]
///   classifier: linear        [N,128]           [N,128]                 65,664      65,664
///   classifier: the logits    [N,10]            [N,10]                   1,290       1,290
///                                                           in all  12,619,722  22,727,882
///
/// Blocks in each stage: 2, 2, 2, 2 at depth 18 and 3, 4, 6, 3 at depth 34. The stem 3x3 has 7,680
/// parameters fewer.
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: forward and
/// filter gradient 24.4 % each, since more than half of a filter on a map of 2x2 lies in the
/// padding; input gradient 51.7 %, the zeros of six strides beside it. Together 36.3 % (32.2 % at
/// depth 34; with the stem 3x3 26.7 % and 21.1 %).
class ResNet : public Layer<ResNet, ResNetOptions> {
 public:
  using Stem = ResNetOptions::Stem;

  explicit ResNet(const Options& options = {}) : ResNet(nullptr, {}, options) {}
  /// Throws ShapeError for another depth.
  ResNet(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  ResNet(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,H,W,in_channels] of any size to logits [N,classes].
  Tensor forward(const Tensor& images) override;
  std::string description() const override;

  Conv2d conv1;
  BatchNorm2d bn1{
      this, "bn1", {.num_features = 64, .negative_slope = LeakyReLU::Options{}.negative_slope}};
  Sequential layer1{this, "layer1"};
  Sequential layer2{this, "layer2"};
  Sequential layer3{this, "layer3"};
  Sequential layer4{this, "layer4"};
  Sequential classifier{this, "classifier"};
};

}  // namespace cks
