#pragma once
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"
#include "cks/layers/module.h"

namespace cks {

struct LeNet5Options {
  std::int64_t classes = 10;
  std::int64_t in_channels = 1;
  std::int64_t image_size = 28;  // rows and columns; at least 12
};

/// LeNet-5: the network with which LeCun, Bottou, Bengio and Haffner read cheques ("Gradient-Based
/// Learning Applied to Document Recognition", Proc. IEEE 1998), in the form that is usual today:
/// ReLU in place of the scaled tanh, max-pooling in place of trainable averages, every filter
/// connected to all maps, a linear layer in place of radial basis functions.
///
///   step                          result for a 28x28 image    parameters
///   input                         [N,28,28,1]
///   conv1 5x5, 1 -> 6, padding 2  [N,28,28,6]                       156
///   relu, max-pool 2x2            [N,14,14,6]
///   conv2 5x5, 6 -> 16            [N,10,10,16]                    2,416
///   relu, max-pool 2x2            [N,5,5,16]
///   flatten (C,H,W order)         [N,400]
///   fc1, relu                     [N,120]                        48,120
///   fc2, relu                     [N,84]                         10,164
///   fc3: the logits               [N,10]                            850
///                                                       in all   61,706
///
/// What skipping saves in one training step, in multiply-adds of the convolutions: forward and
/// filter gradient 2.8 % each (conv1's padding); input gradient 49 %, because conv2 has no padding
/// and a plain input gradient therefore pads its 10x10 map by 4 on each side (conv1 computes none:
/// it is the first layer). Together 21 %.
class LeNet5 : public Layer<LeNet5, LeNet5Options> {
 public:
  using Layer::Layer;  // throw ShapeError for an image size that is too small
  template <class Expected = Options>
  LeNet5(Module*, std::string, ...) = delete;  // for the error: see Layer

  /// Images [N,image_size,image_size,in_channels] to logits [N,classes].
  Tensor forward(const Tensor& images) override;

  // Each but the last with ReLU, as negative_slope says.
  Conv2d conv1{this,
               "conv1",
               {.in_channels = options().in_channels,
                .out_channels = 6,
                .kernel_size = 5,
                .padding = 2,
                .negative_slope = 0.0}};
  Conv2d conv2{this,
               "conv2",
               {.in_channels = 6, .out_channels = 16, .kernel_size = 5, .negative_slope = 0.0}};
  Linear fc1{this, "fc1", {.in_features = features(), .out_features = 120, .negative_slope = 0.0}};
  Linear fc2{this, "fc2", {.in_features = 120, .out_features = 84, .negative_slope = 0.0}};
  Linear fc3{this, "fc3", {.in_features = 84, .out_features = options().classes}};

 private:
  std::int64_t features() const;  // of an image that reach fc1
};

}  // namespace cks
