#pragma once
#include <cstdint>
#include <string>

#include "cks/core/tensor/tensor.h"

namespace cks::apps {

struct Colour {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;
};

constexpr Colour kBlack{0, 0, 0};
constexpr Colour kWhite{255, 255, 255};

/// Pixels from the left and from the top.
struct Point {
  std::int64_t x = 0;
  std::int64_t y = 0;
};

struct Area {
  std::int64_t x = 0;
  std::int64_t y = 0;
  std::int64_t width = 0;
  std::int64_t height = 0;
};

/// A picture to draw on, white at first. What lies outside of it is cut off.
class Canvas {
 public:
  /// Throws ShapeError if a side is below 1.
  Canvas(std::int64_t width, std::int64_t height);

  void fill(const Area& area, Colour colour);
  /// The frame of an area, one pixel wide, inside it.
  void frame(const Area& area, Colour colour);
  /// From point to point, `width` pixels wide.
  void line(Point from, Point to, Colour colour, std::int64_t width = 1);
  /// ASCII in one line, `top_left` being the place of its first character's corner; each pixel of
  /// the font becomes a square of `scale` pixels.
  void text(Point top_left, const std::string& text, Colour colour, std::int64_t scale = 2);

  /// Pixels that text() needs.
  static std::int64_t text_width(const std::string& text, std::int64_t scale = 2);
  /// Of capitals and digits; a comma or a g reach below it.
  static std::int64_t text_height(std::int64_t scale = 2);

  std::int64_t width() const { return image_.size(1); }
  std::int64_t height() const { return image_.size(0); }
  /// uint8 [height,width,3]; shares the pixels.
  const Tensor& image() const { return image_; }

 private:
  Tensor image_;
};

}  // namespace cks::apps
