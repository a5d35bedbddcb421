#pragma once
#include <cstdint>
#include <string>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/activation.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/linear.h"
#include "cks/layers/sequential.h"

/// What the networks of this room share.
namespace cks::models {

/// Throws ShapeError unless an option is at least `least` and small enough for its cube to be a
/// number: what is computed from it then is one, too.
inline void require_extent(const char* model, const char* option, std::int64_t value,
                           std::int64_t least) {
  constexpr std::int64_t kMost = std::int64_t{1} << 20;
  if (value < least || value > kMost) {
    throw ShapeError(formatted("{}: {} must be at {} {}, got {}", model, option,
                               value < least ? "least" : "most", value < least ? least : kMost,
                               value));
  }
}

/// Of LeakyReLU, which the C-K-S paper's networks have. Names of their layers count it, too: in
/// PyTorch each is a layer of its own.
inline constexpr double kSlope = LeakyReLU::Options{}.negative_slope;

/// Appends a convolution that keeps the map's size, with LeakyReLU.
inline void add_conv(Sequential& chain, const std::string& name, std::int64_t in_channels,
                     std::int64_t out_channels, std::int64_t kernel_size, bool bias = true) {
  chain.add<Conv2d>(name, {.in_channels = in_channels,
                           .out_channels = out_channels,
                           .kernel_size = kernel_size,
                           .padding = kernel_size / 2,
                           .bias = bias,
                           .negative_slope = kSlope});
}

/// Appends two linear layers, each behind dropout: features to logits.
inline void add_classifier(Sequential& chain, std::int64_t features, std::int64_t hidden,
                           std::int64_t classes) {
  chain.add<Dropout>("0", {.p = 0.1});
  chain.add<Linear>("1",
                    {.in_features = features, .out_features = hidden, .negative_slope = kSlope});
  chain.add<Dropout>("3", {.p = 0.1});
  chain.add<Linear>("4", {.in_features = hidden, .out_features = classes});
}

}  // namespace cks::models
