#include "cks/layers/conv_transpose2d.h"

#include "cks/layers/conv_options_impl.h"

namespace cks {

ConvTranspose2d::ConvTranspose2d(Module* parent, std::string name, const Options& options)
    : WeightLayer(parent, std::move(name), options) {
  layers::check_conv_options({*this, "ConvTranspose2d"}, options);
  make_weight_and_bias({options.in_channels, options.kernel_size.h, options.kernel_size.w,
                        options.out_channels / options.groups},
                       options.out_channels, StateLayout::filter);
}

Tensor ConvTranspose2d::forward(const Tensor& input) {
  return conv_transpose2d(input, weight, bias, options());
}

std::string ConvTranspose2d::description() const { return layers::describe_conv(options()); }

}  // namespace cks
