#pragma once
#include "cks/core/ops/activation.h"
#include "cks/core/ops/rearrange.h"
#include "cks/layers/linear.h"

namespace cks {

struct MlpOptions {
  std::int64_t classes = 10;
  std::int64_t in_features = 784;  // rows * columns * channels of an image
  std::int64_t hidden = 128;
};

/// The smallest network worth training: two linear layers with a ReLU between them (Rumelhart,
/// Hinton and Williams, "Learning representations by back-propagating errors", Nature 1986). It
/// sees an image as a list of numbers, knows nothing of neighbourhood, and still reads about 98 of
/// 100 MNIST digits: the figure that a convolutional network has to beat.
///
///   step                        result for a 28x28 image    parameters
///   input                       [N,28,28,1]
///   flatten (C,H,W order)       [N,784]
///   fc1, relu                   [N,128]                        100,480
///   fc2: the logits             [N,10]                           1,290
///                                                     in all   101,770
///
/// It has no convolution, so there is nothing to skip.
class Mlp : public Layer<Mlp, MlpOptions> {
 public:
  using Layer::Layer;
  template <class Expected = Options>
  Mlp(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,H,W,C] to logits [N,classes].
  Tensor forward(const Tensor& images) override { return fc2(relu(fc1(flatten_chw(images)))); }

  Linear fc1{this, "fc1", {.in_features = options().in_features, .out_features = options().hidden}};
  Linear fc2{this, "fc2", {.in_features = options().hidden, .out_features = options().classes}};
};

}  // namespace cks
