#pragma once
#include <array>
#include <vector>

namespace cks {

/// Pen positions in a box of 1 x 1, x to the right, y downwards.
struct StrokePoint {
  float x = 0.0F;
  float y = 0.0F;
};

/// One movement of the pen: straight lines between the points, or a smooth curve through them.
struct Stroke {
  bool smooth = false;
  std::vector<StrokePoint> points;
};

/// One way of writing a digit.
using DigitStyle = std::vector<Stroke>;

/// The ways of writing each digit that drawn_digits.h varies.
const std::array<std::vector<DigitStyle>, 10>& digit_styles();

}  // namespace cks
