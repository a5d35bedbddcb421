#include "cks/models/vgg.h"

#include "cks/core/ops/rearrange.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/pool2d.h"
#include "cks/models/parts_impl.h"

namespace cks {
namespace {

/// Convolutions in each of the last three groups.
std::int64_t late_group_size(std::int64_t depth) {
  switch (depth) {
    case 16:
      return 3;
    case 19:
      return 4;
    default:
      throw ShapeError("Vgg: depth must be 16 or 19, got " + std::to_string(depth));
  }
}

/// Rows and columns behind five poolings.
std::int64_t last_map(std::int64_t image_size) {
  models::require_extent("Vgg", "image_size", image_size, 32);
  return image_size / 32;
}

}  // namespace

Vgg::Vgg(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  const std::int64_t late = late_group_size(options.depth);
  struct Group {
    std::int64_t convolutions, channels;
    bool norm;
  };
  std::int64_t channels = options.in_channels;
  int place = 0;  // in PyTorch, where each LeakyReLU is a layer of its own
  const auto next_name = [&] { return std::to_string(place++); };
  for (const Group& group : {Group{2, 64, true}, Group{2, 128, true}, Group{late, 256, true},
                             Group{late, 512, true}, Group{late, 512, false}}) {
    for (std::int64_t i = 0; i < group.convolutions; ++i) {
      models::add_conv(features, next_name(), channels, group.channels, 3, /*bias=*/false);
      ++place;
      channels = group.channels;
    }
    if (group.norm) {
      features.add<BatchNorm2d>(next_name(), {.num_features = channels});
    }
    features.add<MaxPool2d>(next_name(), {.kernel_size = 2});
  }

  const std::int64_t last = last_map(options.image_size);
  const auto add_linear = [&](const char* place_name, std::int64_t in_features,
                              std::int64_t out_features) {
    classifier.add<Linear>(place_name, {.in_features = in_features,
                                        .out_features = out_features,
                                        .bias = false,
                                        .negative_slope = models::kSlope});
  };
  add_linear("0", 512 * last * last, 256);
  classifier.add<Dropout>("2", {.p = 0.1});
  add_linear("3", 256, 128);
  classifier.add<Dropout>("5", {.p = 0.1});
  classifier.add<Linear>("6", {.in_features = 128, .out_features = options.classes});
}

Tensor Vgg::forward(const Tensor& images) { return classifier(flatten_chw(features(images))); }

}  // namespace cks
