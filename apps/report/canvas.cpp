#include "apps/report/canvas.h"

#include <algorithm>
#include <cmath>

#include "apps/report/bitmap_font.h"
#include "cks/core/error.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kAdvance = kGlyphWidth + 1;  // with the gap to the next character

}  // namespace

Canvas::Canvas(std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1) {
    throw ShapeError("canvas: width and height must be at least 1, got " + std::to_string(width) +
                     " and " + std::to_string(height));
  }
  image_ = Tensor::full({height, width, kChannels}, 255, DType::uint8);
}

void Canvas::fill(const Area& area, Colour colour) {
  const std::int64_t right = std::min(area.x + area.width, width());
  const std::int64_t bottom = std::min(area.y + area.height, height());
  auto* pixels = image_.data_as<std::uint8_t>();
  for (std::int64_t y = std::max<std::int64_t>(area.y, 0); y < bottom; ++y) {
    for (std::int64_t x = std::max<std::int64_t>(area.x, 0); x < right; ++x) {
      std::uint8_t* pixel = pixels + (y * width() + x) * kChannels;
      pixel[0] = colour.red;
      pixel[1] = colour.green;
      pixel[2] = colour.blue;
    }
  }
}

void Canvas::frame(const Area& area, Colour colour) {
  fill({area.x, area.y, area.width, 1}, colour);
  fill({area.x, area.y + area.height - 1, area.width, 1}, colour);
  fill({area.x, area.y, 1, area.height}, colour);
  fill({area.x + area.width - 1, area.y, 1, area.height}, colour);
}

void Canvas::line(Point from, Point to, Colour colour, std::int64_t width) {
  const std::int64_t steps =
      std::max({std::abs(to.x - from.x), std::abs(to.y - from.y), std::int64_t{1}});
  for (std::int64_t i = 0; i <= steps; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(steps);
    const auto between = [&](std::int64_t a, std::int64_t b) {
      return a + std::llround(share * static_cast<double>(b - a));
    };
    fill({between(from.x, to.x) - width / 2, between(from.y, to.y) - width / 2, width, width},
         colour);
  }
}

void Canvas::text(Point top_left, const std::string& text, Colour colour, std::int64_t scale) {
  std::int64_t left = top_left.x;
  for (const char character : text) {
    const Glyph& glyph = glyph_of(character);
    for (std::int64_t row = 0; row < kGlyphHeight; ++row) {
      for (std::int64_t column = 0; column < kGlyphWidth; ++column) {
        const int bit = 1 << (kGlyphWidth - 1 - column);
        if ((glyph[static_cast<std::size_t>(row)] & bit) != 0) {
          fill({left + column * scale, top_left.y + row * scale, scale, scale}, colour);
        }
      }
    }
    left += kAdvance * scale;
  }
}

std::int64_t Canvas::text_width(const std::string& text, std::int64_t scale) {
  return text.empty() ? 0 : (static_cast<std::int64_t>(text.size()) * kAdvance - 1) * scale;
}

std::int64_t Canvas::text_height(std::int64_t scale) { return kCapitalHeight * scale; }

}  // namespace cks::apps
