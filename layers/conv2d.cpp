#include "cks/layers/conv2d.h"

#include <algorithm>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {
namespace {

using layers::OptionCheck;
using layers::pair_text;

template <class Options>
void check_options(const OptionCheck& check, const Options& options) {
  check.at_least("in_channels", options.in_channels, 1);
  check.at_least("out_channels", options.out_channels, 1);
  check.at_least("kernel_size", options.kernel_size, 1);
  check.at_least("stride", options.stride, 1);
  check.at_least("dilation", options.dilation, 1);
  check.at_least("groups", options.groups, 1);
  check.not_negative(options.padding);
  check.in_unit_interval("negative_slope", options.negative_slope);
  if (options.in_channels % options.groups != 0 || options.out_channels % options.groups != 0) {
    check.fail(formatted(
        "groups must divide both channel counts, got groups {}, in_channels {}, out_channels {}",
        options.groups, options.in_channels, options.out_channels));
  }
  if constexpr (requires { options.output_padding; }) {
    check.at_least("output_padding", options.output_padding, 0);
    if (options.output_padding.h >= std::max(options.stride.h, options.dilation.h) ||
        options.output_padding.w >= std::max(options.stride.w, options.dilation.w)) {
      check.fail(
          formatted("output_padding must be below max(stride, dilation), got output_padding {}, "
                    "stride {}, dilation {}",
                    pair_text(options.output_padding), pair_text(options.stride),
                    pair_text(options.dilation)));
    }
  }
}

/// "5x5, 6 -> 16" and every option that differs from its default.
template <class Options>
std::string describe(const Options& options) {
  std::string text = formatted("{}, {} -> {}", layers::size_text(options.kernel_size),
                               options.in_channels, options.out_channels);
  text +=
      layers::size_option("stride", options.stride, 1) + layers::padding_option(options.padding);
  if constexpr (requires { options.output_padding; }) {
    text += layers::size_option("output padding", options.output_padding, 0);
  }
  text += layers::size_option("dilation", options.dilation, 1);
  if (options.groups != 1) {
    text += formatted(", groups {}", options.groups);
  }
  text += options.bias ? "" : ", no bias";
  return text + layers::activation_option(options.negative_slope);
}

}  // namespace

Conv2d::Conv2d(Module* parent, std::string name, const Options& options)
    : WeightLayer(parent, std::move(name), options) {
  check_options({*this, "Conv2d"}, options);
  make_weight_and_bias({options.out_channels, options.kernel_size.h, options.kernel_size.w,
                        options.in_channels / options.groups},
                       options.out_channels, StateLayout::filter);
}

std::string Conv2d::description() const { return describe(options()); }

ConvTranspose2d::ConvTranspose2d(Module* parent, std::string name, const Options& options)
    : WeightLayer(parent, std::move(name), options) {
  check_options({*this, "ConvTranspose2d"}, options);
  make_weight_and_bias({options.in_channels, options.kernel_size.h, options.kernel_size.w,
                        options.out_channels / options.groups},
                       options.out_channels, StateLayout::filter);
}

std::string ConvTranspose2d::description() const { return describe(options()); }

}  // namespace cks
