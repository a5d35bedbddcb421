#include "cks/layers/conv2d.h"

#include "cks/layers/conv_options.h"
#include "cks/layers/init.h"

namespace cks {

Conv2d::Conv2d(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  layers::check_conv_options(*this, "Conv2d", options);
  register_parameter("weight", weight,
                     Tensor::empty({options.out_channels, options.kernel_size.h,
                                    options.kernel_size.w, options.in_channels / options.groups}),
                     StateLayout::filter);
  if (options.bias) {
    register_parameter("bias", bias, Tensor::empty({options.out_channels}));
  }
  Conv2d::reset_parameters(0);
}

void Conv2d::reset_parameters(std::uint64_t seed) {
  init::weight_and_bias(weight, bias, seed, path());
}

Tensor Conv2d::forward(const Tensor& input) { return conv2d(input, weight, bias, options_); }

std::string Conv2d::description() const { return layers::describe_conv(options_); }

}  // namespace cks
