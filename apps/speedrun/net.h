#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/init.h"
#include "cks/layers/linear.h"

namespace cks::apps {

/// Two convolutions 3x3, each normalised and followed by GELU; the first is pooled to half its
/// height and width.
struct Group : Module {
  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;

  Group(Module* parent, std::string name, std::int64_t in, std::int64_t out)
      : Module(parent, std::move(name)),
        conv1{this, "conv1", filters(in, out)},
        conv2{this, "conv2", filters(out, out)},
        bn1{this, "bn1", quick_norm(out)},
        bn2{this, "bn2", quick_norm(out)} {}
  Tensor forward(const Tensor& x) override {
    const Tensor halved = bn1(max_pool2d(conv1(x), {.kernel_size = 2}));
    return bn2(conv2(halved));
  }

 private:
  static Conv2d::Options filters(std::int64_t in, std::int64_t out) {
    return {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1, .bias = false};
  }
  /// With statistics that follow within a few steps: there are only some hundred.
  static BatchNorm2d::Options quick_norm(std::int64_t channels) {
    return {.num_features = channels, .momentum = 0.4, .gelu = true};
  }
};

/// A network that learns CIFAR-10 in few epochs: wide and shallow, so that gradients reach all of
/// it from the first step on, and quickly at small maps, where an image costs little.
///
///   step                        result for width 64   parameters
///   input                       [N,32,32,3]
///   whiten 2x2, GELU            [N,31,31,24]                 312
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

  SpeedrunNet(std::int64_t width, std::int64_t classes)
      : group1{this, "group1", whiten.options().out_channels, width},
        group2{this, "group2", width, 4 * width},
        group3{this, "group3", 4 * width, 4 * width},
        head{this, "head", {.in_features = 4 * width, .out_features = classes, .bias = false}} {}

  Tensor forward(const Tensor& images) override {
    const Tensor x = group3(group2(group1(gelu(whiten(images)))));
    const Tensor greatest = max_pool2d(x, {.kernel_size = 3});
    return head(greatest.reshape({images.size(0), -1})) * (1.0 / 9.0);
  }

  /// Weights before the first step, from a seed and a sample of the images, and which of them stay
  /// as they are: the whitening filters, and the factors of the normalisations.
  void prepare(std::uint64_t seed, const Tensor& sample) {
    initialize(seed);
    init::whitening(whiten.weight, sample);
    init::constant(whiten.bias, 0.0);
    whiten.weight.set_requires_grad(false);
    for (Group* group : {&group1, &group2, &group3}) {
      for (Conv2d* conv : {&group->conv1, &group->conv2}) {
        // As many filters as there are inputs pass these on; the others are drawn.
        const NoGradGuard no_grad;
        Tensor first = conv->weight.slice(
            0, std::min(conv->options().in_channels, conv->options().out_channels));
        init::dirac(first);
      }
      group->bn1.weight.set_requires_grad(false);
      group->bn2.weight.set_requires_grad(false);
    }
  }
};

}  // namespace cks::apps
