// This file is compiled without contraction of a * b + c, and uses no function of <cmath> but sqrt,
// floor and abs, which are exact or rounded correctly: that makes the pixels the same on every
// machine.
#include "cks/datasets/drawn/drawn_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "cks/datasets/drawn/drawing_impl.h"

namespace cks {

namespace {

constexpr int kSide = static_cast<int>(kDrawnPictureSide);

constexpr float kAnyTurn = 1.0F;    // 90 degrees to either side
constexpr float kShapeTurn = 0.2F;  // 23 degrees
constexpr float kReach = 1.6F;      // of all shapes from their middle, soft edge included, in radii

enum class ShapeKind : std::uint8_t { disc, ring, square, triangle, cross };
constexpr std::array<const char*, 5> kShapeNames{"disc", "ring", "square", "triangle", "cross"};

using Colour = std::array<float, 3>;

struct Point {
  float x;
  float y;
};

/// Distance to the border of a shape of radius 1 around the origin, negative inside. Away from the
/// border it may be too small, which is enough for a soft edge.
float distance_to(ShapeKind shape, Point p) {
  const float ax = std::abs(p.x);
  const float ay = std::abs(p.y);
  switch (shape) {
    case ShapeKind::disc:
      return std::sqrt(p.x * p.x + p.y * p.y) - 1.0F;
    case ShapeKind::ring:
      return std::abs(std::sqrt(p.x * p.x + p.y * p.y) - 0.75F) - 0.28F;
    case ShapeKind::square:
      return std::max(ax, ay) - 0.85F;
    case ShapeKind::triangle:  // 0.866 and 0.5: the normals of its slanted sides
      return std::max(0.866F * ax - 0.5F * p.y, p.y) - 0.6F;
    case ShapeKind::cross:
      return std::max(std::min(ax, ay) - 0.32F, std::max(ax, ay) - 1.0F);
  }
  return 0.0F;
}

/// Turns, stretches and moves the page's coordinates, in pixels, to those of a shape.
class Placement {
 public:
  /// Turned by up to `turn` to either side, where turn is the tangent of half the angle.
  Placement(Draws& draws, Point centre, float radius, float least_width, float turn)
      : centre_(centre), radius_(radius), narrow_(draws.between(least_width, 1.0F)) {
    // A rotation by a without sin and cos: u = tan(a / 2).
    const float u = draws.between(-turn, turn);
    cosine_ = (1.0F - u * u) / (1.0F + u * u);
    sine_ = 2.0F * u / (1.0F + u * u);
  }

  /// In units of the radius.
  Point local(Point page) const {
    const float x = (page.x - centre_.x) / radius_;
    const float y = (page.y - centre_.y) / radius_;
    return {(cosine_ * x + sine_ * y) / narrow_, cosine_ * y - sine_ * x};
  }
  float radius() const { return radius_; }
  /// Share of a pixel inside of the shape, from its distance in local units.
  float coverage(float distance) const {
    return std::clamp(0.5F - distance * radius_ * narrow_, 0.0F, 1.0F);
  }

 private:
  Point centre_;
  float radius_;
  float narrow_;
  float cosine_ = 1.0F;
  float sine_ = 0.0F;
};

/// Share of the second tone at a point, in pixels along the pattern's own directions.
class Pattern {
 public:
  Pattern(Draws& draws, bool striped)
      : striped_(striped),
        period_(striped ? draws.between(3.6F, 6.0F) : draws.between(4.0F, 6.0F)),
        shift_x_(draws.uniform()),
        shift_y_(draws.uniform()),
        placement_(draws, {0.0F, 0.0F}, 1.0F, 1.0F, kAnyTurn) {}

  float at(Point page) const {
    const Point p = placement_.local(page);
    const float x = from_middle(p.x / period_ + shift_x_);
    if (striped_) {
      return soft_step((0.25F - std::abs(x)) * period_);
    }
    const float y = from_middle(p.y / period_ + shift_y_);
    return soft_step((0.36F - std::sqrt(x * x + y * y)) * period_);
  }

 private:
  /// Place within a cell of width 1, from -0.5 to 0.5.
  static float from_middle(float cells) { return cells - std::floor(cells) - 0.5F; }
  static float soft_step(float pixels_inside) {
    return std::clamp(0.5F + pixels_inside, 0.0F, 1.0F);
  }

  bool striped_;
  float period_;
  float shift_x_;
  float shift_y_;
  Placement placement_;
};

Colour random_colour(Draws& draws, float low, float high) {
  return {draws.between(low, high), draws.between(low, high), draws.between(low, high)};
}

/// A page of 32 x 32 colours that is painted layer by layer.
class Page {
 public:
  /// Paints what `layer(point)` covers within `reach` of a point: its colour and the share that it
  /// covers.
  template <class Layer>
  void paint(Point middle, float reach, Layer&& layer) {
    const auto on_page = [](float position) {
      return static_cast<int>(std::clamp(position, 0.0F, static_cast<float>(kSide - 1)));
    };
    for (int y = on_page(middle.y - reach); y <= on_page(middle.y + reach); ++y) {
      for (int x = on_page(middle.x - reach); x <= on_page(middle.x + reach); ++x) {
        const auto [colour, share] =
            layer(Point{static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F});
        Colour& pixel = pixels_[static_cast<std::size_t>(y) * kSide + static_cast<std::size_t>(x)];
        for (std::size_t c = 0; c < pixel.size(); ++c) {
          pixel[c] += share * (colour[c] - pixel[c]);
        }
      }
    }
  }
  template <class Layer>
  void paint(Layer&& layer) {
    paint({0.0F, 0.0F}, static_cast<float>(kSide), layer);
  }

  void write(Draws& draws, float noise, std::uint8_t* bytes) const {
    // The sum of a word's four bytes is bell-shaped, with this mean and standard deviation.
    constexpr float kMean = 510.0F;
    constexpr float kDeviation = 147.8F;
    for (const Colour& pixel : pixels_) {
      for (const float value : pixel) {
        const std::uint32_t word = draws.bits();
        const std::uint32_t sum =
            (word & 0xffU) + (word >> 8 & 0xffU) + (word >> 16 & 0xffU) + (word >> 24);
        const float noisy = value + noise * ((static_cast<float>(sum) - kMean) / kDeviation);
        *bytes++ = static_cast<std::uint8_t>(std::clamp(noisy, 0.0F, 255.0F));
      }
    }
  }

 private:
  std::array<Colour, kDrawnPictureSide * kDrawnPictureSide> pixels_{};
};

struct Painted {
  Colour colour;
  float share;
};

Point random_point(Draws& draws, float margin) {
  const float high = static_cast<float>(kSide) - margin;
  const float x = draws.between(margin, high);
  return {x, draws.between(margin, high)};
}

void paint_background(Page& page, Draws& draws, const Colour& colour) {
  const Colour shade = random_colour(draws, -45.0F, 45.0F);
  const Placement slope(draws, random_point(draws, 8.0F), 32.0F, 1.0F, kAnyTurn);
  page.paint([&](Point p) {
    const float along = slope.local(p).x;
    return Painted{
        {colour[0] + along * shade[0], colour[1] + along * shade[1], colour[2] + along * shade[2]},
        1.0F};
  });
}

void paint_blobs(Page& page, Draws& draws) {
  const std::uint32_t count = draws.below(4);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Colour colour = random_colour(draws, 20.0F, 235.0F);
    const Point centre = random_point(draws, 0.0F);
    const Placement place(draws, centre, draws.between(1.5F, 3.5F), 0.5F, kAnyTurn);
    page.paint(centre, kReach * place.radius(), [&](Point p) {
      return Painted{colour, place.coverage(distance_to(ShapeKind::disc, place.local(p)))};
    });
  }
}

void paint_shape(Page& page, Draws& draws, std::int64_t label) {
  const auto shape = static_cast<ShapeKind>(label / 2);
  const Colour tone = random_colour(draws, 110.0F, 255.0F);
  const float darker = draws.between(0.3F, 0.75F);
  const Colour second_tone{darker * tone[0], darker * tone[1], darker * tone[2]};
  const Point centre = random_point(draws, 12.5F);
  const Placement place(draws, centre, draws.between(9.0F, 13.0F), 0.75F, kShapeTurn);
  const Pattern pattern(draws, label % 2 == 0);
  page.paint(centre, kReach * place.radius(), [&](Point p) {
    const float coverage = place.coverage(distance_to(shape, place.local(p)));
    const float share = coverage > 0.0F ? pattern.at(p) : 0.0F;
    Colour colour = tone;
    for (std::size_t c = 0; c < colour.size(); ++c) {
      colour[c] += share * (second_tone[c] - tone[c]);
    }
    return Painted{colour, coverage};
  });
}

/// A straight bar across the page, in one of three pictures.
void paint_bar(Page& page, Draws& draws) {
  if (draws.below(3) != 0) {
    return;
  }
  const Colour colour = random_colour(draws, 20.0F, 235.0F);
  const Placement place(draws, random_point(draws, 6.0F), draws.between(0.8F, 2.0F), 1.0F,
                        kAnyTurn);
  page.paint([&](Point p) {
    return Painted{colour, place.coverage(std::abs(place.local(p).x) - 1.0F)};
  });
}

}  // namespace

std::int64_t draw_picture(std::uint64_t seed, DrawnSplit split, std::int64_t index,
                          std::uint8_t* pixels) {
  const std::int64_t label = balanced_label("draw_picture", "pictures", seed, split, index);
  Draws draws(drawing_key("pictures", seed, split, ".pictures"), index);
  Page page;
  paint_background(page, draws, random_colour(draws, 10.0F, 150.0F));
  paint_blobs(page, draws);
  paint_shape(page, draws, label);
  paint_bar(page, draws);
  page.write(draws, draws.between(3.0F, 20.0F), pixels);
  return label;
}

TrainTest drawn_pictures(DrawnPicturesOptions options) {
  std::vector<std::string> class_names;
  for (const char* shape : kShapeNames) {
    class_names.push_back(std::string("striped ") + shape);
    class_names.push_back(std::string("spotted ") + shape);
  }
  return draw_dataset("pictures", class_names, kDrawnPictureSide, 3, options, draw_picture);
}

}  // namespace cks
