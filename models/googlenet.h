#pragma once
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/concat.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/sequential.h"

namespace cks {

struct InceptionOptions {  // numbers of channels
  std::int64_t in_channels = 0;
  std::int64_t conv1x1 = 0;
  std::int64_t reduce3x3 = 0;
  std::int64_t conv3x3 = 0;
  std::int64_t reduce5x5 = 0;
  std::int64_t conv5x5 = 0;
  std::int64_t pool = 0;
};

/// Four views of one map, joined on the channels: its pixels alone (1x1), neighbourhoods of 3x3 and
/// of 5x5, each behind a 1x1 convolution that first reduces the channels, and the neighbourhood's
/// maximum. Every convolution is followed by LeakyReLU; no view changes the map's size.
class Inception : public Layer<Inception, InceptionOptions, Concat> {
 public:
  explicit Inception(const Options& options) : Inception(nullptr, {}, options) {}
  Inception(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  Inception(Module*, std::string, ...) = delete;  // for the error: see Layer

  std::string description() const override;
};

struct GoogLeNetOptions {
  std::int64_t classes = 10;
  std::int64_t in_channels = 3;
  std::int64_t image_size = 32;  // rows and columns; at least 16, checked here already
};

/// GoogLeNet of Szegedy, Liu, Jia and others, "Going Deeper with Convolutions" (CVPR 2015): rather
/// than choosing a filter size, each block takes several at once, and 1x1 convolutions keep that
/// cheap.
///
/// What the C-K-S paper's CIFAR version changes of the original for 224x224 images: a stem of 5x5
/// and 3x3 without stride in place of 7x7 with stride 2; LeakyReLU; batch normalisation at two
/// places in place of local response normalisation; two linear layers with dropout of 0.1 in place
/// of one; no auxiliary classifiers.
///
///   step                                       result for a 32x32 image    parameters
///   input                                      [N,32,32,3]
///   conv1 5x5, 3 -> 64; max-pool 2x2           [N,16,16,64]                     4,864
///   conv2 3x3, 64 -> 192, bn2; max-pool        [N,8,8,192]                    111,168
///   inception3a                                [N,8,8,256]                    163,696
///   inception3b, bn3; max-pool                 [N,4,4,480]                    389,696
///   inception4a                                [N,4,4,512]                    376,176
///   inception4b                                [N,4,4,512]                    449,160
///   inception4c                                [N,4,4,512]                    510,104
///   inception4d                                [N,4,4,528]                    605,376
///   inception4e; max-pool                      [N,2,2,832]                    868,352
///   inception5a                                [N,2,2,832]                  1,043,456
///   inception5b                                [N,2,2,1024]                 1,444,080
///   global average                             [N,1024]
///   classifier: linear, the logits             [N,10]                         264,970
///                                                                    in all     6,231,098
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: forward and
/// filter gradient 16.7 % each, input gradient 17.0 %. Together 16.8 %: padding alone, and none in
/// the 1x1 convolutions.
class GoogLeNet : public Layer<GoogLeNet, GoogLeNetOptions> {
 public:
  explicit GoogLeNet(const Options& options = {}) : GoogLeNet(nullptr, {}, options) {}
  /// Throws ShapeError for an image size that is too small.
  GoogLeNet(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  GoogLeNet(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,H,W,in_channels], H and W at least 16, to logits [N,classes].
  Tensor forward(const Tensor& images) override;

  Conv2d conv1;
  Conv2d conv2;
  BatchNorm2d bn2;
  Inception inception3a, inception3b;
  BatchNorm2d bn3;
  Inception inception4a, inception4b, inception4c, inception4d, inception4e;
  Inception inception5a, inception5b;
  Sequential classifier{this, "classifier"};
};

}  // namespace cks
