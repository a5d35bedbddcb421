#include "cks/layers/pool2d.h"

#include "cks/layers/base/options_impl.h"

namespace cks {
namespace {

template <class Options>
void check_options(const layers::OptionCheck& check, const Options& options) {
  check.at_least("kernel_size", options.kernel_size, 1);
  check.at_least("stride (0: the window's size)", options.stride, 0);
  check.not_negative(options.padding);
}

template <class Options>
std::string describe(const Options& options) {
  std::string text = layers::size_text(options.kernel_size);
  if (!(options.stride == Size2(0))) {
    text += layers::size_option("stride", options.stride, options.kernel_size);
  }
  return text + layers::padding_option(options.padding) + (options.ceil_mode ? ", ceil_mode" : "");
}

}  // namespace

MaxPool2d::MaxPool2d(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  const layers::OptionCheck check(*this, "MaxPool2d");
  check_options(check, options);
  check.at_least("dilation", options.dilation, 1);
}

std::string MaxPool2d::description() const {
  return describe(options()) + layers::size_option("dilation", options().dilation, 1);
}

AvgPool2d::AvgPool2d(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  check_options({*this, "AvgPool2d"}, options);
}

std::string AvgPool2d::description() const { return describe(options()); }

}  // namespace cks
