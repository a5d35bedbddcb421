#pragma once
#include <algorithm>
#include <string>

#include "cks/layers/check.h"

/// What Conv2d and ConvTranspose2d share: the checks of their options and their description.
namespace cks::layers {

template <class Options>
void check_conv_options(const Module& module, const char* type, const Options& options) {
  require_at_least(module, type, "in_channels", options.in_channels, 1);
  require_at_least(module, type, "out_channels", options.out_channels, 1);
  require_at_least(module, type, "kernel_size", options.kernel_size, 1);
  require_at_least(module, type, "stride", options.stride, 1);
  require_at_least(module, type, "dilation", options.dilation, 1);
  require_at_least(module, type, "groups", options.groups, 1);
  require_padding(module, type, options.padding);
  if (options.in_channels % options.groups != 0 || options.out_channels % options.groups != 0) {
    fail_option(module, type,
                "groups must divide both channel counts, got groups " +
                    std::to_string(options.groups) + ", in_channels " +
                    std::to_string(options.in_channels) + ", out_channels " +
                    std::to_string(options.out_channels));
  }
  if constexpr (requires { options.output_padding; }) {
    require_at_least(module, type, "output_padding", options.output_padding, 0);
    if (options.output_padding.h >= std::max(options.stride.h, options.dilation.h) ||
        options.output_padding.w >= std::max(options.stride.w, options.dilation.w)) {
      fail_option(module, type,
                  "output_padding must be below max(stride, dilation), got output_padding " +
                      pair_text(options.output_padding) + ", stride " + pair_text(options.stride) +
                      ", dilation " + pair_text(options.dilation));
    }
  }
}

/// "5x5, 6 -> 16" and every option that differs from its default.
template <class Options>
std::string describe_conv(const Options& options) {
  std::string text = size_text(options.kernel_size) + ", " + std::to_string(options.in_channels) +
                     " -> " + std::to_string(options.out_channels);
  if (!(options.stride == Size2(1))) {
    text += ", stride " + size_text(options.stride);
  }
  if (!(options.padding == Padding2d(0))) {
    text += ", padding " + padding_text(options.padding);
  }
  if constexpr (requires { options.output_padding; }) {
    if (!(options.output_padding == Size2(0))) {
      text += ", output padding " + size_text(options.output_padding);
    }
  }
  if (!(options.dilation == Size2(1))) {
    text += ", dilation " + size_text(options.dilation);
  }
  if (options.groups != 1) {
    text += ", groups " + std::to_string(options.groups);
  }
  return options.bias ? text : text + ", no bias";
}

}  // namespace cks::layers
