#pragma once
#include "cks/layers/sequential.h"

namespace cks {

struct VggOptions {
  std::int64_t depth = 16;  // layers with weights, in the paper's count; or 19
  std::int64_t classes = 10;
  std::int64_t in_channels = 3;
  std::int64_t image_size = 32;  // rows and columns; at least 32
};

/// VGG-16 and VGG-19 of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
/// Image Recognition" (ICLR 2015): nothing but 3x3 filters, in groups, each group ended by a
/// max-pooling that halves the map while the next doubles the channels. Two 3x3 filters see as much
/// as one 5x5, with fewer weights and one more activation.
///
/// What the C-K-S paper's CIFAR version changes of the original for 224x224 images: LeakyReLU; no
/// biases but the last one; batch normalisation at the end of the first four groups; linear layers
/// of 256 and 128 in place of 4096, and dropout of 0.1 in place of 0.5.
///
///   step                                  result for a 32x32 image    parameters, 16        19
///   input                                 [N,32,32,3]
///   2 convs of 64, norm, max-pool 2x2     [N,16,16,64]                      38,720      38,720
///   2 convs of 128, norm, max-pool        [N,8,8,128]                      221,440     221,440
///   3 (19: 4) of 256, norm, max-pool      [N,4,4,256]                    1,475,072   2,064,896
///   3 (19: 4) of 512, norm, max-pool      [N,2,2,512]                    5,899,264   8,258,560
///   3 (19: 4) of 512, max-pool            [N,1,1,512]                    7,077,888   9,437,184
///   flatten (C,H,W order)                 [N,512]
///   classifier: linear, linear            [N,128]                          163,840     163,840
///   classifier: the logits                [N,10]                             1,290       1,290
///                                                              in all   14,877,514  20,185,930
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: 21.1 % at
/// depth 16 and 22.3 % at 19, nearly the same in each pass. There is no stride, so all of it is
/// padding: five of the nine taps of a filter on a map of 2x2 meet zeros.
class Vgg : public Layer<Vgg, VggOptions> {
 public:
  explicit Vgg(const Options& options = {}) : Vgg(nullptr, {}, options) {}
  /// Throws ShapeError for another depth or an image size that is too small.
  Vgg(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  Vgg(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,image_size,image_size,in_channels] to logits [N,classes].
  Tensor forward(const Tensor& images) override;
  std::string description() const override { return "depth " + std::to_string(options().depth); }

  Sequential features{this, "features"};
  Sequential classifier{this, "classifier"};
};

}  // namespace cks
