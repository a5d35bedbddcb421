#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks::layers {

std::string OptionCheck::title() const {
  const std::string path = module_.path();
  return path.empty() ? type_ : formatted("{} {}", type_, path);
}

void OptionCheck::fail(const std::string& what) const {
  throw ShapeError(formatted("{}: {}", title(), what));
}

void OptionCheck::at_least(const char* option, std::int64_t value, std::int64_t least) const {
  if (value < least) {
    fail(formatted("{} must be at least {}, got {}", option, least, value));
  }
}

void OptionCheck::at_least(const char* option, const Size2& value, std::int64_t least) const {
  if (value.h < least || value.w < least) {
    fail(formatted("{} must be at least {}, got {}", option, pair_text(least), pair_text(value)));
  }
}

void OptionCheck::not_negative(const Padding2d& padding) const {
  at_least("padding.top", padding.top, 0);
  at_least("padding.bottom", padding.bottom, 0);
  at_least("padding.left", padding.left, 0);
  at_least("padding.right", padding.right, 0);
}

void OptionCheck::above_zero(const char* option, double value) const {
  if (!(value > 0.0)) {
    throw Error(formatted("{}: {} must be above 0, got {:g}", title(), option, value));
  }
}

void OptionCheck::in_unit_interval(const char* option, double value) const {
  if (!(value >= 0.0 && value <= 1.0)) {
    throw Error(formatted("{}: {} must lie in [0, 1], got {:g}", title(), option, value));
  }
}

std::string pair_text(const Size2& size) { return formatted("{{{},{}}}", size.h, size.w); }

std::string size_text(const Size2& size) { return formatted("{}x{}", size.h, size.w); }

std::string size_option(const char* name, const Size2& size, const Size2& standard) {
  return size == standard ? std::string() : formatted(", {} {}", name, size_text(size));
}

std::string padding_option(const Padding2d& p) {
  if (p == Padding2d(p.top)) {
    return p.top == 0 ? std::string() : formatted(", padding {}", p.top);
  }
  return formatted(", padding {},{},{},{}", p.top, p.bottom, p.left, p.right);
}

std::string activation_option(double negative_slope) {
  if (negative_slope == 1.0) {
    return {};
  }
  return negative_slope == 0.0 ? ", ReLU" : formatted(", leaky ReLU {:g}", negative_slope);
}

}  // namespace cks::layers
