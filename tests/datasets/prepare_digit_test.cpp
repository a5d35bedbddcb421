#include "cks/datasets/images/prepare_digit.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "cks/core/error.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "tests/support/fill.h"

using cks::DType;
using cks::prepare_digit;
using cks::PreparedDigit;
using cks::Tensor;
using namespace cks::testing;

namespace {

struct GreyAlpha {
  double grey, alpha;
};

/// A seven with a thick pen, `scale` pixels a unit of 20 x 14, its corner at (top, left): 1 is ink.
double seven(double y, double x) {
  const bool bar = y >= 0 && y < 4 && x >= 0 && x < 14;
  const double middle = 12.5 - 0.5 * y;
  const bool stem = y >= 0 && y < 20 && std::abs(x - middle) < 2;
  return bar || stem ? 1.0 : 0.0;
}

struct Frame {
  std::int64_t height = 100, width = 90;
  double top = 30, left = 30, scale = 2;
};

Tensor picture(const Frame& f,
               const std::function<GreyAlpha(double ink, std::int64_t y, std::int64_t x)>& paint) {
  Tensor image = Tensor::empty({f.height, f.width, 2}, DType::uint8);
  auto* to = image.data_as<std::uint8_t>();
  for (std::int64_t y = 0; y < f.height; ++y) {
    for (std::int64_t x = 0; x < f.width; ++x) {
      const double ink = seven((static_cast<double>(y) + 0.5 - f.top) / f.scale,
                               (static_cast<double>(x) + 0.5 - f.left) / f.scale);
      const auto [grey, alpha] = paint(ink, y, x);
      *to++ = static_cast<std::uint8_t>(std::lround(std::clamp(grey, 0.0, 255.0)));
      *to++ = static_cast<std::uint8_t>(std::lround(alpha));
    }
  }
  return image;
}

GreyAlpha dark_on_white(double ink, std::int64_t /*y*/, std::int64_t /*x*/) {
  return {255 - 255 * ink, 255};
}

/// Mean difference of two prepared digits, in bytes.
double difference(const PreparedDigit& a, const PreparedDigit& b) {
  const auto* p = a.image.data_as<std::uint8_t>();
  const auto* q = b.image.data_as<std::uint8_t>();
  double sum = 0.0;
  for (int i = 0; i < 28 * 28; ++i) {
    sum += std::abs(p[i] - q[i]);
  }
  return sum / (28 * 28);
}

/// Rows and columns with ink, and the centre of its mass.
struct Measured {
  int top = 28, bottom = -1, left = 28, right = -1;
  double y = 0.0, x = 0.0;

  explicit Measured(const PreparedDigit& digit) {
    const auto* p = digit.image.data_as<std::uint8_t>();
    double mass = 0.0;
    for (int row = 0; row < 28; ++row) {
      for (int column = 0; column < 28; ++column) {
        const double value = p[28 * row + column];
        if (value > 0) {
          top = std::min(top, row);
          bottom = std::max(bottom, row);
          left = std::min(left, column);
          right = std::max(right, column);
        }
        mass += value;
        y += value * (row + 0.5);
        x += value * (column + 0.5);
      }
    }
    y /= mass;
    x /= mass;
  }
};

}  // namespace

TEST_CASE("prepare_digit: ink fills 20 rows or columns, its mass in the middle, aspect kept") {
  const PreparedDigit digit = prepare_digit(picture({}, dark_on_white));
  CHECK(digit.has_ink);
  CHECK_FALSE(digit.was_ready);
  const Measured box(digit);
  CHECK(box.bottom - box.top + 1 == 20);
  CHECK(std::abs(box.right - box.left + 1 - 14) <= 1);
  CHECK(std::abs(box.y - 14.0) <= 0.5);
  CHECK(std::abs(box.x - 14.0) <= 0.5);
}

TEST_CASE("prepare_digit: the same digit, however it is framed, lit and laid") {
  const PreparedDigit plain = prepare_digit(picture({}, dark_on_white));
  const PreparedDigit wide = prepare_digit(picture({.scale = 3}, [](double, auto y, auto x) {
    return GreyAlpha{y > 30 && y < 60 && x > 30 && x < 70 ? 0.0 : 255.0, 255};
  }));
  CHECK(difference(wide, plain) > 40.0);  // of another shape
  const auto near = [&](const Frame& frame, auto&& paint, double most = 12.0) {
    return difference(prepare_digit(picture(frame, paint)), plain) < most;
  };
  CHECK(near({}, [](double ink, auto, auto) { return GreyAlpha{255 * ink, 255}; }));
  CHECK(near({}, [](double ink, auto, auto) { return GreyAlpha{200, 255 * ink}; }));
  CHECK(near({}, [](double ink, auto, auto) { return GreyAlpha{0, 255 * ink}; }));
  CHECK(near({.height = 42, .width = 30, .top = 1, .left = 1}, dark_on_white));  // cut tightly
  CHECK(near({.top = 55, .left = 55}, dark_on_white));                           // in a corner
  CHECK(near({.height = 600, .width = 500, .top = 90, .left = 200, .scale = 12}, dark_on_white));
  const auto photo = [](double ink, std::int64_t y, std::int64_t x) {
    const double light = 2 * x + y > 140 ? 0.6 : 1.0;  // a shadow with an edge across the digit
    const double noise = 16 * random_real(7, static_cast<std::uint64_t>(100 * y + x));
    return GreyAlpha{light * (210 - 170 * ink) + noise, 255};
  };
  CHECK(near({}, photo, 14.0));
  CHECK(near({}, [](double ink, auto y, auto x) {  // a piece of paper on nothing
    return GreyAlpha{240 - 200 * ink, y < 12 || y > 90 || x < 10 || x > 80 ? 0.0 : 255.0};
  }));
  for (const double edge : {0.0, 90.0}) {  // of a table, dark, on two sides
    CHECK(near({}, [edge](double ink, auto y, auto x) {
      return GreyAlpha{y < 5 || x > 83 ? edge : 240 - 200 * ink, 255};
    }));
  }
}

TEST_CASE("prepare_digit: a hard-edged band of shadow is no ink, in any direction") {
  const PreparedDigit plain = prepare_digit(picture({}, dark_on_white));
  for (const double degrees : {0.0, 25.0, 45.0, 90.0, 130.0}) {
    for (const double middle : {-12.0, 0.0, 15.0}) {  // pixels from the digit's middle
      for (const double half : {6.0, 12.0}) {
        CAPTURE(degrees);
        CAPTURE(middle);
        CAPTURE(half);
        const double angle = degrees * 3.14159265358979 / 180.0;
        const auto banded = [&](double ink, std::int64_t y, std::int64_t x) {
          const double across = std::cos(angle) * (static_cast<double>(x) - 44.0) +
                                std::sin(angle) * (static_cast<double>(y) - 50.0);
          const double light = std::abs(across - middle) < half ? 0.6 : 1.0;
          const double noise = 16 * random_real(7, static_cast<std::uint64_t>(100 * y + x));
          return GreyAlpha{light * (210 - 170 * ink) + noise, 255};
        };
        CHECK(difference(prepare_digit(picture({}, banded)), plain) < 16.0);
      }
    }
  }
  // A stroke from border to border, darker than nothing else, stays ink.
  const PreparedDigit stroke = prepare_digit(picture({}, [](double, auto, auto x) {
    return GreyAlpha{x >= 40 && x < 52 ? 60.0 : 230.0, 255};
  }));
  REQUIRE(stroke.has_ink);
  CHECK(Measured(stroke).right - Measured(stroke).left < 6);
}

TEST_CASE("prepare_digit: specks go, pieces of the digit stay") {
  const auto with_specks = [](double ink, std::int64_t y, std::int64_t x) {
    return GreyAlpha{(y == 5 && x == 5) || (y == 95 && x == 80) ? 0 : 255 - 255 * ink, 255};
  };
  const auto in_two = [](double ink, std::int64_t y, std::int64_t /*x*/) {
    return GreyAlpha{y >= 38 && y < 41 ? 255 : 255 - 255 * ink, 255};  // the bar and the stem
  };
  const PreparedDigit plain = prepare_digit(picture({}, dark_on_white));
  CHECK(difference(prepare_digit(picture({}, with_specks)), plain) < 2.0);
  CHECK(Measured(prepare_digit(picture({}, in_two))).bottom >= 22);
  CHECK(difference(prepare_digit(picture({}, in_two)), plain) < 20.0);
}

TEST_CASE("prepare_digit: what is as MNIST's are is left alone; blank paper has no ink") {
  const PreparedDigit once = prepare_digit(picture({}, dark_on_white));
  Tensor again = Tensor::empty({28, 28, 2}, DType::uint8);
  for (int i = 0; i < 28 * 28; ++i) {
    again.data_as<std::uint8_t>()[2 * i] = once.image.data_as<std::uint8_t>()[i];
    again.data_as<std::uint8_t>()[2 * i + 1] = 255;
  }
  const PreparedDigit twice = prepare_digit(again);
  CHECK(twice.was_ready);
  CHECK(twice.image.to_vector<std::uint8_t>() == once.image.to_vector<std::uint8_t>());
  for (const double grey : {0.0, 128.0, 255.0}) {
    const PreparedDigit blank = prepare_digit(picture({}, [&](double, auto, auto) {
      return GreyAlpha{grey, 255};
    }));
    CHECK_FALSE(blank.has_ink);
    CHECK(*std::max_element(blank.image.data_as<std::uint8_t>(),
                            blank.image.data_as<std::uint8_t>() + 28 * 28) == 0);
  }
  CHECK_FALSE(prepare_digit(picture({}, [](double, auto, auto) {
                return GreyAlpha{9, 0};
              })).has_ink);
}

TEST_CASE("prepare_digit: any size of picture, and only grey with alpha") {
  for (const std::int64_t height : {1, 2, 27, 161}) {
    for (const std::int64_t width : {1, 3, 500}) {
      CAPTURE(height);
      CAPTURE(width);
      const Tensor any = picture(
          {.height = height, .width = width, .top = 0, .left = 0, .scale = 1}, dark_on_white);
      CHECK(prepare_digit(any).image.shape() == cks::Shape{28, 28, 1});
    }
  }
  CHECK_THROWS_AS(prepare_digit(Tensor()), cks::ShapeError);
  CHECK_THROWS_AS(prepare_digit(Tensor::zeros({4, 4, 1}, DType::uint8)), cks::ShapeError);
  CHECK_THROWS_AS(prepare_digit(Tensor::zeros({4, 4, 2})), cks::DtypeError);
}
