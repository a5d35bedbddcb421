#pragma once
#include <cstdint>
#include <string>

#include "cks/kernels/common/geometry.h"
#include "cks/layers/module.h"

/// Checks of options and short descriptions, for the layers of this room.
namespace cks::layers {

/// Checks the options of a layer, and names it in errors: "Conv2d conv1: ...".
class OptionCheck {
 public:
  OptionCheck(const Module& module, const char* type) : module_(module), type_(type) {}

  [[noreturn]] void fail(const std::string& what) const;
  /// All of these throw ShapeError, naming option and value.
  void at_least(const char* option, std::int64_t value, std::int64_t least) const;
  void at_least(const char* option, const Size2& value, std::int64_t least) const;
  void not_negative(const Padding2d& padding) const;
  /// These throw Error.
  void above_zero(const char* option, double value) const;
  void in_unit_interval(const char* option, double value) const;

 private:
  std::string title() const;

  const Module& module_;
  const char* type_;
};

/// "{3,2}".
std::string pair_text(const Size2& size);
/// "3x2".
std::string size_text(const Size2& size);
/// ", stride 3x2", or nothing for the default.
std::string size_option(const char* name, const Size2& size, const Size2& standard);
/// ", padding 1" for four equal sides, otherwise ", padding top,bottom,left,right"; nothing for 0.
std::string padding_option(const Padding2d& padding);
/// ", ReLU", ", leaky ReLU 0.01", or nothing for a slope of 1.
std::string activation_option(double negative_slope);

}  // namespace cks::layers
