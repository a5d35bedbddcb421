#include "apps/speedrun/net.h"

#include <algorithm>

#include "cks/core/autograd/autograd.h"
#include "cks/layers/init.h"

namespace cks::apps {
namespace {

Conv2d::Options filters(std::int64_t in, std::int64_t out) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1, .bias = false};
}

/// With ReLU, and statistics that follow within a few steps: there are only some hundred.
BatchNorm2d::Options quick_relu(std::int64_t channels) {
  return {.num_features = channels, .momentum = 0.4, .negative_slope = 0.0};
}

}  // namespace

Group::Group(Module* parent, std::string name, std::int64_t in, std::int64_t out)
    : Module(parent, std::move(name)),
      conv1{this, "conv1", filters(in, out)},
      conv2{this, "conv2", filters(out, out)},
      bn1{this, "bn1", quick_relu(out)},
      bn2{this, "bn2", quick_relu(out)} {}

Tensor Group::forward(const Tensor& x) {
  const Tensor halved = bn1(max_pool2d(conv1(x), {.kernel_size = 2}));
  return bn2(conv2(halved));
}

SpeedrunNet::SpeedrunNet(std::int64_t width, std::int64_t classes)
    : group1{this, "group1", whiten.options().out_channels, width},
      group2{this, "group2", width, 4 * width},
      group3{this, "group3", 4 * width, 4 * width},
      head{this, "head", {.in_features = 4 * width, .out_features = classes, .bias = false}} {}

Tensor SpeedrunNet::forward(const Tensor& images) {
  const Tensor x = group3(group2(group1(relu(whiten(images)))));
  const Tensor greatest = max_pool2d(x, {.kernel_size = 3});
  return head(greatest.reshape({images.size(0), -1})) * (1.0 / 9.0);
}

void SpeedrunNet::prepare(std::uint64_t seed, const Tensor& sample) {
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

}  // namespace cks::apps
