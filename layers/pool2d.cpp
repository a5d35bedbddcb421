#include "cks/layers/pool2d.h"

#include "cks/layers/check.h"

namespace cks {
namespace {

template <class Options>
void check_options(const Module& module, const char* type, const Options& options) {
  layers::require_at_least(module, type, "kernel_size", options.kernel_size, 1);
  layers::require_at_least(module, type, "stride (0: the window's size)", options.stride, 0);
  layers::require_padding(module, type, options.padding);
}

template <class Options>
std::string describe(const Options& options) {
  std::string text = layers::size_text(options.kernel_size);
  if (!(options.stride == Size2(0)) && !(options.stride == options.kernel_size)) {
    text += ", stride " + layers::size_text(options.stride);
  }
  if (!(options.padding == Padding2d(0))) {
    text += ", padding " + layers::padding_text(options.padding);
  }
  return text;
}

}  // namespace

MaxPool2d::MaxPool2d(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  check_options(*this, "MaxPool2d", options);
  layers::require_at_least(*this, "MaxPool2d", "dilation", options.dilation, 1);
}

Tensor MaxPool2d::forward(const Tensor& input) { return max_pool2d(input, options_); }

std::string MaxPool2d::description() const {
  return describe(options_) + (options_.dilation == Size2(1)
                                   ? ""
                                   : ", dilation " + layers::size_text(options_.dilation));
}

AvgPool2d::AvgPool2d(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  check_options(*this, "AvgPool2d", options);
}

Tensor AvgPool2d::forward(const Tensor& input) { return avg_pool2d(input, options_); }

std::string AvgPool2d::description() const { return describe(options_); }

Tensor GlobalAvgPool2d::forward(const Tensor& input) { return global_avg_pool2d(input); }

}  // namespace cks
