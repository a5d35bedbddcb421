#include "cks/models/alexnet.h"

#include "cks/core/ops/rearrange.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/linear.h"
#include "cks/layers/pool2d.h"
#include "cks/models/extent_impl.h"

namespace cks {
namespace {

/// Rows and columns behind the last pooling.
std::int64_t last_map(std::int64_t image_size) {
  models::require_extent("AlexNet", "image_size", image_size, 2);
  const auto halved_up = [](std::int64_t size) { return (size + 1) / 2; };
  return halved_up(halved_up(halved_up(image_size / 2)));
}

constexpr double kSlope = LeakyReLU::Options{}.negative_slope;
constexpr MaxPool2d::Options kHalve{.kernel_size = 3, .stride = 2, .padding = 1};

}  // namespace

AlexNet::AlexNet(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  const auto add_conv = [&](const char* place, std::int64_t in_channels, std::int64_t out_channels,
                            std::int64_t kernel_size) {
    features.add<Conv2d>(place, {.in_channels = in_channels,
                                 .out_channels = out_channels,
                                 .kernel_size = kernel_size,
                                 .padding = kernel_size / 2,
                                 .negative_slope = kSlope});
  };
  // Names count the LeakyReLUs, too: in PyTorch each is a layer of its own.
  features.add<Conv2d>("0", {.in_channels = options.in_channels,
                             .out_channels = 96,
                             .kernel_size = 6,
                             .stride = 2,
                             .padding = 2,
                             .negative_slope = kSlope});
  features.add<BatchNorm2d>("2", {.num_features = 96});
  features.add<MaxPool2d>("3", kHalve);

  add_conv("4", 96, 256, 5);
  features.add<BatchNorm2d>("6", {.num_features = 256});
  features.add<MaxPool2d>("7", kHalve);

  add_conv("8", 256, 384, 3);
  add_conv("10", 384, 384, 3);
  features.add<Conv2d>("12",
                       {.in_channels = 384, .out_channels = 256, .kernel_size = 3, .padding = 1});
  features.add<BatchNorm2d>("13", {.num_features = 256, .negative_slope = kSlope});
  features.add<MaxPool2d>("15", kHalve);

  const std::int64_t last = last_map(options.image_size);
  classifier.add<Dropout>("0", {.p = 0.1});
  classifier.add<Linear>(
      "1", {.in_features = 256 * last * last, .out_features = 512, .negative_slope = kSlope});
  classifier.add<Dropout>("3", {.p = 0.1});
  classifier.add<Linear>("4", {.in_features = 512, .out_features = 256, .negative_slope = kSlope});
  classifier.add<Linear>("6", {.in_features = 256, .out_features = options.classes});
}

Tensor AlexNet::forward(const Tensor& images) { return classifier(flatten_chw(features(images))); }

}  // namespace cks
