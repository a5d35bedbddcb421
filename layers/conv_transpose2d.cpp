#include "cks/layers/conv_transpose2d.h"

#include "cks/layers/conv_options.h"
#include "cks/layers/init.h"

namespace cks {

ConvTranspose2d::ConvTranspose2d(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  layers::check_conv_options(*this, "ConvTranspose2d", options);
  register_parameter("weight", weight,
                     Tensor::empty({options.in_channels, options.kernel_size.h,
                                    options.kernel_size.w, options.out_channels / options.groups}),
                     StateLayout::filter);
  if (options.bias) {
    register_parameter("bias", bias, Tensor::empty({options.out_channels}));
  }
  ConvTranspose2d::reset_parameters(0);
}

void ConvTranspose2d::reset_parameters(std::uint64_t seed) {
  init::weight_and_bias(weight, bias, seed, path());
}

Tensor ConvTranspose2d::forward(const Tensor& input) {
  return conv_transpose2d(input, weight, bias, options_);
}

std::string ConvTranspose2d::description() const { return layers::describe_conv(options_); }

}  // namespace cks
