#pragma once
#include <cstdint>
#include <string>

#include "cks/core/ops.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"

namespace cks::apps {

/// Two convolutions 3x3, each normalised and cut off at 0; the first is pooled to half its height
/// and width.
struct Group : Module {
  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;

  Group(Module* parent, std::string name, std::int64_t in, std::int64_t out);
  Tensor forward(const Tensor& x) override;
};

/// A network that learns CIFAR-10 in few epochs: wide and shallow, so that gradients reach all of
/// it from the first step on, and quickly at small maps, where an image costs little.
///
///   step                        result for width 64   parameters
///   input                       [N,32,32,3]
///   whiten 2x2, ReLU            [N,31,31,24]                 312
///   group1                      [N,15,15,64]              50,944
///   group2                      [N,7,7,256]              738,304
///   group3, max-pool 3x3        [N,1,1,256]            1,180,672
///   head: the logits, over 9    [N,10]                     2,560
///
/// Source: Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498.
struct SpeedrunNet : Module {
  Conv2d whiten{this, "whiten", {.in_channels = 3, .out_channels = 24, .kernel_size = 2}};
  Group group1, group2, group3;
  Linear head;

  SpeedrunNet(std::int64_t width, std::int64_t classes);
  Tensor forward(const Tensor& images) override;

  /// Weights before the first step, from a seed and a sample of the images, and which of them stay
  /// as they are: the whitening filters, and the factors of the normalisations.
  void prepare(std::uint64_t seed, const Tensor& sample);
};

}  // namespace cks::apps
