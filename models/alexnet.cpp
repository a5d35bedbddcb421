#include "cks/models/alexnet.h"

#include "cks/core/ops/rearrange.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/pool2d.h"
#include "cks/models/parts_impl.h"

namespace cks {
namespace {

/// Rows and columns behind the last pooling.
std::int64_t last_map(std::int64_t image_size) {
  models::require_extent("AlexNet", "image_size", image_size, 2);
  const auto halved_up = [](std::int64_t size) { return (size + 1) / 2; };
  return halved_up(halved_up(halved_up(image_size / 2)));
}

constexpr MaxPool2d::Options kHalve{.kernel_size = 3, .stride = 2, .padding = 1};

}  // namespace

AlexNet::AlexNet(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  features.add<Conv2d>("0", {.in_channels = options.in_channels,
                             .out_channels = 96,
                             .kernel_size = 6,
                             .stride = 2,
                             .padding = 2,
                             .negative_slope = models::kSlope});
  features.add<BatchNorm2d>("2", {.num_features = 96});
  features.add<MaxPool2d>("3", kHalve);

  models::add_conv(features, "4", 96, 256, 5);
  features.add<BatchNorm2d>("6", {.num_features = 256});
  features.add<MaxPool2d>("7", kHalve);

  models::add_conv(features, "8", 256, 384, 3);
  models::add_conv(features, "10", 384, 384, 3);
  features.add<Conv2d>("12",
                       {.in_channels = 384, .out_channels = 256, .kernel_size = 3, .padding = 1});
  features.add<BatchNorm2d>("13", {.num_features = 256, .negative_slope = models::kSlope});
  features.add<MaxPool2d>("15", kHalve);

  const std::int64_t last = last_map(options.image_size);
  classifier.add<Dropout>("0", {.p = 0.1});
  classifier.add<Linear>(
      "1",
      {.in_features = 256 * last * last, .out_features = 512, .negative_slope = models::kSlope});
  classifier.add<Dropout>("3", {.p = 0.1});
  classifier.add<Linear>(
      "4", {.in_features = 512, .out_features = 256, .negative_slope = models::kSlope});
  classifier.add<Linear>("6", {.in_features = 256, .out_features = options.classes});
}

Tensor AlexNet::forward(const Tensor& images) { return classifier(flatten_chw(features(images))); }

}  // namespace cks
