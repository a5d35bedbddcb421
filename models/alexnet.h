#pragma once
#include "cks/layers/sequential.h"

namespace cks {

struct AlexNetOptions {
  std::int64_t classes = 10;
  std::int64_t in_channels = 3;
  std::int64_t image_size = 32;  // rows and columns; at least 2
};

/// AlexNet: the network of Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
/// Convolutional Neural Networks" (NeurIPS 2012), that made depth, ReLU, dropout and GPUs the usual
/// way. Large filters first, then small ones on smaller maps, and linear layers that weigh the
/// whole picture.
///
/// What the C-K-S paper's CIFAR version changes of the original for 224x224 images: a first filter
/// 6x6 of stride 2 in place of 11x11 of stride 4; LeakyReLU; batch normalisation in place of local
/// response normalisation; no groups; linear layers of 512 and 256 in place of 4096, and dropout of
/// 0.1 in place of 0.5.
///
///   step                                 result for a 32x32 image    parameters
///   input                                [N,32,32,3]
///   conv 6x6, 3 -> 96, stride 2, norm    [N,16,16,96]                    10,656
///   max-pool 3x3, stride 2               [N,8,8,96]
///   conv 5x5, 96 -> 256, norm            [N,8,8,256]                    615,168
///   max-pool 3x3, stride 2               [N,4,4,256]
///   conv 3x3, 256 -> 384                 [N,4,4,384]                    885,120
///   conv 3x3, 384 -> 384                 [N,4,4,384]                  1,327,488
///   conv 3x3, 384 -> 256, norm           [N,4,4,256]                    885,504
///   max-pool 3x3, stride 2               [N,2,2,256]
///   flatten (C,H,W order)                [N,1024]
///   classifier: linear, linear           [N,256]                        656,128
///   classifier: the logits               [N,10]                           2,570
///                                                              in all  4,382,634
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: forward and
/// filter gradient 28.7 % each, input gradient 29.3 %. Together 28.9 %, none of it from a
/// stride: only the first layer has one, and it computes no input gradient. Filters of 5x5 on maps
/// of 8x8 and of 3x3 on 4x4 simply meet much padding.
class AlexNet : public Layer<AlexNet, AlexNetOptions> {
 public:
  explicit AlexNet(const Options& options = {}) : AlexNet(nullptr, {}, options) {}
  /// Throws ShapeError for an image size that is too small.
  AlexNet(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  AlexNet(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,image_size,image_size,in_channels] to logits [N,classes].
  Tensor forward(const Tensor& images) override;

  Sequential features{this, "features"};
  Sequential classifier{this, "classifier"};
};

}  // namespace cks
