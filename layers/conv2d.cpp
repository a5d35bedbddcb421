#include "cks/layers/conv2d.h"

#include "cks/layers/conv_options_impl.h"

namespace cks {

Conv2d::Conv2d(Module* parent, std::string name, const Options& options)
    : WeightLayer(parent, std::move(name), options) {
  layers::check_conv_options({*this, "Conv2d"}, options);
  make_weight_and_bias({options.out_channels, options.kernel_size.h, options.kernel_size.w,
                        options.in_channels / options.groups},
                       options.out_channels, StateLayout::filter);
}

Tensor Conv2d::forward(const Tensor& input) { return conv2d(input, weight, bias, options()); }

std::string Conv2d::description() const { return layers::describe_conv(options()); }

}  // namespace cks
