// This file is compiled without contraction of a * b + c, and uses no function of <cmath> but sqrt,
// which IEEE 754 rounds correctly: that makes the pixels the same on every machine.
#include "cks/datasets/drawn/drawn_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cks/datasets/drawn/digit_strokes.h"
#include "cks/datasets/drawn/drawing_impl.h"

namespace cks {

namespace {

constexpr int kSide = static_cast<int>(kDrawnDigitSide);
constexpr int kStepsPerSpan = 6;  // straight pieces between two points of a curve

using Path = std::vector<StrokePoint>;

/// Point of the Catmull-Rom curve through b and c, t of the way from b to c.
StrokePoint on_curve(StrokePoint a, StrokePoint b, StrokePoint c, StrokePoint d, float t) {
  const auto blend = [t](float p, float q, float r, float s) {
    return 0.5F * (2.0F * q + t * ((r - p) + t * ((2.0F * p - 5.0F * q + 4.0F * r - s) +
                                                  t * (3.0F * q - p - 3.0F * r + s))));
  };
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)};
}

/// Straight pieces of a stroke.
Path flatten(const Stroke& stroke) {
  const Path& p = stroke.points;
  if (!stroke.smooth) {
    return p;
  }
  Path path{p.front()};
  for (std::size_t i = 0; i + 1 < p.size(); ++i) {
    const StrokePoint before = p[i == 0 ? 0 : i - 1];
    const StrokePoint after = p[std::min(i + 2, p.size() - 1)];
    for (int step = 1; step <= kStepsPerSpan; ++step) {
      const float t = static_cast<float>(step) / static_cast<float>(kStepsPerSpan);
      path.push_back(on_curve(before, p[i], p[i + 1], after, t));
    }
  }
  return path;
}

/// A way of writing the digit with a trembling hand.
std::vector<Path> write_digit(std::int64_t digit, Draws& draws) {
  const auto& styles = digit_styles()[static_cast<std::size_t>(digit)];
  const DigitStyle& style = styles[draws.below(static_cast<std::uint32_t>(styles.size()))];
  const float tremor = draws.between(0.02F, 0.07F);
  std::vector<Path> paths;
  for (Stroke stroke : style) {
    for (StrokePoint& point : stroke.points) {
      point.x += tremor * draws.bell();
      point.y += tremor * draws.bell();
    }
    paths.push_back(flatten(stroke));
  }
  return paths;
}

/// Bends, slants and turns the paths, then sizes and places them on the page, in pixels.
void place(std::vector<Path>& paths, Draws& draws) {
  const float bend = draws.between(-0.25F, 0.25F);
  const float slant = draws.between(-0.2F, 0.45F);
  const float narrow = draws.between(0.65F, 1.05F);
  // A rotation by a without sin and cos: u = tan(a / 2), which lies in [-0.13, 0.13] (15 degrees).
  const float u = 0.5F * (draws.between(-0.13F, 0.13F) + draws.between(-0.13F, 0.13F));
  const float cosine = (1.0F - u * u) / (1.0F + u * u);
  const float sine = 2.0F * u / (1.0F + u * u);
  StrokePoint low{1e9F, 1e9F};
  StrokePoint high{-1e9F, -1e9F};
  for (Path& path : paths) {
    for (StrokePoint& p : path) {
      const float y = p.y - 0.5F;
      const float x = narrow * (p.x - 0.5F) - slant * y + bend * (y * y - 0.08F);
      p = {cosine * x - sine * y, sine * x + cosine * y};
      low = {std::min(low.x, p.x), std::min(low.y, p.y)};
      high = {std::max(high.x, p.x), std::max(high.y, p.y)};
    }
  }
  const float largest = std::max(high.x - low.x, high.y - low.y);
  const float scale = draws.between(15.0F, 20.0F) / largest;
  const float centre = 0.5F * static_cast<float>(kSide);
  const float shift_x = centre + draws.bell() - scale * 0.5F * (low.x + high.x);
  const float shift_y = centre + draws.bell() - scale * 0.5F * (low.y + high.y);
  for (Path& path : paths) {
    for (StrokePoint& p : path) {
      p = {scale * p.x + shift_x, scale * p.y + shift_y};
    }
  }
}

/// Squared distance of each pixel's middle to the nearest piece of the paths, where below reach^2.
using Squares = std::array<float, kDrawnDigitSide * kDrawnDigitSide>;

/// Takes in a piece from a to b.
void take_in(Squares& squares, StrokePoint a, StrokePoint b, float reach) {
  const auto on_page = [](float position) {
    return static_cast<int>(std::clamp(position, 0.0F, static_cast<float>(kSide - 1)));
  };
  const StrokePoint along{b.x - a.x, b.y - a.y};
  const float length = along.x * along.x + along.y * along.y;
  const float scale = length > 0.0F ? 1.0F / length : 0.0F;
  const int first_x = on_page(std::min(a.x, b.x) - reach);
  const int last_x = on_page(std::max(a.x, b.x) + reach);
  const int last_y = on_page(std::max(a.y, b.y) + reach);
  for (int y = on_page(std::min(a.y, b.y) - reach); y <= last_y; ++y) {
    for (int x = first_x; x <= last_x; ++x) {
      const float to_x = static_cast<float>(x) + 0.5F - a.x;
      const float to_y = static_cast<float>(y) + 0.5F - a.y;
      const float t = std::clamp((to_x * along.x + to_y * along.y) * scale, 0.0F, 1.0F);
      const float off_x = to_x - t * along.x;
      const float off_y = to_y - t * along.y;
      float& nearest = squares[static_cast<std::size_t>(y) * kSide + static_cast<std::size_t>(x)];
      nearest = std::min(nearest, off_x * off_x + off_y * off_y);
    }
  }
}

/// Puts ink on the page.
void ink(const std::vector<Path>& paths, Draws& draws, std::uint8_t* pixels) {
  const float radius = draws.between(0.5F, 1.7F);
  const float softness = draws.between(0.5F, 1.1F);  // half the width of the soft edge
  const float darkness = draws.between(190.0F, 290.0F);
  const float grain = draws.between(0.0F, 0.25F);
  const float reach = radius + softness;
  Squares squares{};
  squares.fill(reach * reach);
  for (const Path& path : paths) {
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      take_in(squares, path[i], path[i + 1], reach);
    }
  }
  for (const float square : squares) {
    float value = 0.0F;
    if (square < reach * reach) {
      const float edge = (reach - std::sqrt(square)) / (2.0F * softness);
      value = std::min(edge, 1.0F) * darkness * (1.0F - grain * draws.uniform());
    }
    *pixels++ = static_cast<std::uint8_t>(std::min(value, 255.0F));
  }
}

}  // namespace

std::int64_t draw_digit(std::uint64_t seed, DrawnSplit split, std::int64_t index,
                        std::uint8_t* pixels) {
  const std::int64_t label = balanced_label("draw_digit", "digits", seed, split, index);
  Draws draws(drawing_key("digits", seed, split, ".shapes"), index);
  std::vector<Path> paths = write_digit(label, draws);
  place(paths, draws);
  ink(paths, draws, pixels);
  return label;
}

TrainTest drawn_digits(DrawnDigitsOptions options) {
  return draw_dataset("digits", numbered_classes(10), kDrawnDigitSide, 1, options, draw_digit);
}

}  // namespace cks
