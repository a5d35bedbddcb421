#include "apps/report/chart.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "apps/report/bitmap_font.h"
#include "apps/report/picture.h"
#include "cks/core/error.h"
#include "cks/datasets/image_io.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks::apps {
namespace {

using testing::message_of;

/// The pixel as 0xRRGGBB.
int pixel(const Tensor& image, std::int64_t x, std::int64_t y) {
  const std::uint8_t* at = image.data_as<std::uint8_t>() + (y * image.size(1) + x) * 3;
  return at[0] << 16 | at[1] << 8 | at[2];
}

std::int64_t count(const Tensor& image, int colour) {
  std::int64_t pixels = 0;
  for (std::int64_t y = 0; y < image.size(0); ++y) {
    for (std::int64_t x = 0; x < image.size(1); ++x) {
      pixels += pixel(image, x, y) == colour ? 1 : 0;
    }
  }
  return pixels;
}

/// Characters that stand at a place, read back by comparing with the font.
std::string read_text(const Tensor& image, Point at, std::size_t length, std::int64_t scale = 2) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) {
    const std::int64_t left = at.x + static_cast<std::int64_t>(i) * (kGlyphWidth + 1) * scale;
    Glyph found{};
    for (std::int64_t row = 0; row < kGlyphHeight; ++row) {
      for (std::int64_t column = 0; column < kGlyphWidth; ++column) {
        const bool is_ink = pixel(image, left + column * scale, at.y + row * scale) == 0;
        found[static_cast<std::size_t>(row)] |=
            static_cast<std::uint8_t>(is_ink ? 1 << (kGlyphWidth - 1 - column) : 0);
      }
    }
    for (char character = ' '; character <= '~'; ++character) {
      if (glyph_of(character) == found) {
        text += character;
        break;
      }
    }
  }
  return text;
}

TEST_CASE("font: no two characters look alike") {
  for (char a = ' '; a <= '~'; ++a) {
    for (char b = ' '; b < a; ++b) {
      CAPTURE(a);
      CAPTURE(b);
      CHECK(glyph_of(a) != glyph_of(b));
    }
    CHECK(glyph_of(a) != glyph_of('\n'));
  }
  CHECK(glyph_of('\n') == glyph_of(static_cast<char>(0xE9)));
}

TEST_CASE("Canvas: text reads back, shapes lie where they should, the rest is cut off") {
  Canvas canvas(200, 60);
  const std::string text = "Jpg 95.3 %, q";
  canvas.text({10, 20}, text, kBlack);
  CHECK(read_text(canvas.image(), {10, 20}, text.size()) == text);
  CHECK(Canvas::text_width("ab", 3) == 33);
  CHECK(Canvas::text_width("") == 0);

  Canvas shapes(20, 10);
  shapes.fill({-5, 8, 7, 100}, {255, 0, 0});
  CHECK(count(shapes.image(), 0xFF0000) == 4);
  CHECK(pixel(shapes.image(), 1, 9) == 0xFF0000);
  CHECK(pixel(shapes.image(), 2, 9) == 0xFFFFFF);
  shapes.line({10, 2}, {14, 6}, {0, 0, 255});
  CHECK(count(shapes.image(), 0x0000FF) == 5);
  CHECK(pixel(shapes.image(), 12, 4) == 0x0000FF);
  shapes.frame({4, 0, 3, 3}, {0, 255, 0});
  CHECK(count(shapes.image(), 0x00FF00) == 8);
  shapes.text({-3, -3}, "W", kBlack);
  CHECK_THROWS_AS(Canvas(0, 5), ShapeError);
}

void check_ticks(const std::vector<double>& ticks, const std::vector<double>& expected) {
  REQUIRE(ticks.size() == expected.size());
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    CHECK(ticks[i] == doctest::Approx(expected[i]));
  }
}

TEST_CASE("round_ticks: 1, 2 or 5 times a power of ten") {
  const auto check = [](double low, double high, int most, const std::vector<double>& expected) {
    check_ticks(round_ticks(low, high, most), expected);
  };
  check(0.0, 1.0, 6, {0.0, 0.2, 0.4, 0.6, 0.8, 1.0});
  check(-0.3, 0.72, 4, {0.0, 0.5});
  check(1.0, 30.0, 7, {5.0, 10.0, 15.0, 20.0, 25.0, 30.0});
  check(98.1, 99.3, 7, {98.2, 98.4, 98.6, 98.8, 99.0, 99.2});
  CHECK_THROWS_AS(round_ticks(1.0, 1.0, 5), Error);
  CHECK_THROWS_AS(round_ticks(0.0, std::numeric_limits<double>::infinity(), 5), Error);
  CHECK_THROWS_AS(round_ticks(0.0, 1.0, 1), Error);
}

TEST_CASE("log_ticks: 1, 2 and 5, or powers of ten, or some of them") {
  check_ticks(log_ticks(0.4, 9.0, 7), {0.5, 1.0, 2.0, 5.0});
  check_ticks(log_ticks(0.02, 2.0, 7), {0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0});
  check_ticks(log_ticks(0.009, 20.0, 7), {0.01, 0.1, 1.0, 10.0});
  check_ticks(log_ticks(1e-7, 1e5, 7), {1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4});
  CHECK_THROWS_AS(log_ticks(0.0, 1.0, 5), Error);
  CHECK_THROWS_AS(log_ticks(2.0, 1.0, 5), Error);
}

constexpr int kTrain = 0x1F5FB4;
constexpr int kTest = 0xD65400;

TEST_CASE("draw_curves: each epoch's points are where axes say, in a picture that decodes") {
  std::vector<EpochMetrics> rows;
  for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
    const auto e = static_cast<double>(epoch);
    rows.push_back({.epoch = epoch,
                    .train_loss = 3.0 - e,
                    .train_accuracy = 0.2 * e,
                    .test_loss = 3.5 - e,
                    .test_accuracy = 0.1 * e});
  }
  const testing::ScratchFolder scratch;
  write_png(scratch / "curves.png", draw_curves(rows));
  const Tensor image = load_image(scratch / "curves.png");
  REQUIRE(image.shape() == Shape{420, 1120, 3});
  CHECK(read_text(image, {76, 20}, 4) == "loss");
  CHECK(read_text(image, {636, 20}, 10) == "accuracy %");
  // Losses span 0 to 2.5, with 5 % of air: the best point is low on the right, the worst high on
  // the left. The frame's inner corners are (76,44) and (535,353).
  const auto y_of = [](double value) { return 353 - std::lround((value + 0.125) / 2.75 * 309.0); };
  const auto x_of = [](double epoch) { return 76 + std::lround((epoch - 0.9) / 2.2 * 459.0); };
  for (const double epoch : {1.0, 2.0, 3.0}) {
    CAPTURE(epoch);
    CHECK(pixel(image, x_of(epoch), y_of(3.0 - epoch)) == kTrain);
    CHECK(pixel(image, x_of(epoch), y_of(3.5 - epoch)) == kTest);
  }
  // "0" beside the height of a loss of 0.
  CHECK(read_text(image, {76 - 8 - 10, y_of(0.0) - 7}, 1) == "0");
  CHECK(read_text(image, {x_of(2.0) - 5, 361}, 1) == "2");

  rows[1].test_loss = std::numeric_limits<double>::quiet_NaN();
  rows[2].train_loss = std::numeric_limits<double>::infinity();
  CHECK_NOTHROW(draw_curves(rows));
  CHECK_NOTHROW(draw_curves({EpochMetrics{.epoch = 1}}));
  CHECK_THROWS_AS(draw_curves({}), Error);
}

TEST_CASE("draw_curves: a spike of the loss does not flatten the epochs behind it") {
  std::vector<EpochMetrics> rows;
  for (const double loss : {100.0, 1.0, 0.5, 0.1}) {
    rows.push_back({.epoch = static_cast<std::int64_t>(rows.size()) + 1,
                    .train_loss = loss,
                    .test_loss = 2.0 * loss});
  }
  const Tensor image = draw_curves(rows);
  CHECK(read_text(image, {76, 20}, 15) == "loss, log scale");
  // log10 spans from -1 to 2.3, with 5 % of air.
  const double low = -1.0 - 0.05 * std::log10(2000.0);
  const double span = 1.1 * std::log10(2000.0);
  const auto y_of = [&](double value) {
    return 353 - std::lround((std::log10(value) - low) / span * 309.0);
  };
  const auto x_of = [](double epoch) { return 76 + std::lround((epoch - 0.85) / 3.3 * 459.0); };
  for (const EpochMetrics& row : rows) {
    CAPTURE(row.epoch);
    const auto x = x_of(static_cast<double>(row.epoch));
    CHECK(pixel(image, x, y_of(row.train_loss)) == kTrain);
    CHECK(pixel(image, x, y_of(row.test_loss)) == kTest);
  }
  CHECK(read_text(image, {76 - 8 - Canvas::text_width("0.1"), y_of(0.1) - 7}, 3) == "0.1");
  CHECK(read_text(image, {76 - 8 - Canvas::text_width("100"), y_of(100.0) - 7}, 3) == "100");

  // What has no logarithm keeps the linear axis, as accuracies always do.
  rows.back().train_loss = 0.0;
  rows.back().train_accuracy = 0.9;
  const Tensor linear = draw_curves(rows);
  CHECK(read_text(linear, {76, 20}, 5) == "loss ");
  CHECK(read_text(linear, {636, 20}, 11) == "accuracy % ");
}

TEST_CASE("draw_confusion: counts stand in their squares, the darker the larger the share") {
  ConfusionMatrix confusion(2);
  const auto add = [&](std::int64_t truth, float first, float second, int times) {
    for (int i = 0; i < times; ++i) {
      confusion.add(Tensor::from_vector<float>({first, second}, {1, 2}),
                    Tensor::from_vector<std::int64_t>({truth}, {1}));
    }
  };
  add(0, 1.0F, 0.0F, 4);
  add(1, 0.0F, 1.0F, 9);
  add(1, 1.0F, 0.0F, 3);
  const testing::ScratchFolder scratch;
  write_png(scratch / "confusion.png", draw_confusion(confusion, {"cat", "dog"}));
  const Tensor image = load_image(scratch / "confusion.png");
  CHECK(read_text(image, {12, 12}, 11) == "rows: truth");
  CHECK(count(image, 0x084594) > 500);      // all of the cats
  CHECK(pixel(image, 90, 70) == 0x084594);  // the first square
  CHECK(message_of<Error>([&] { draw_confusion(confusion, {"cat"}); }) ==
        "draw_confusion: there are 1 names of 2 classes");
  std::vector<std::string> many(100, "class");
  CHECK(draw_confusion(ConfusionMatrix(100), many).size(1) > 1000);
  // The squares shrink before the picture grows beyond what a PNG may be.
  many.resize(3000, "class");
  const Tensor large = draw_confusion(ConfusionMatrix(3000), many);
  CHECK(large.size(1) < kMaxImageSide);
  CHECK(large.size(1) > 6000);
  std::int64_t ink = 0;  // of the labels, which stand left of the squares and below the title
  for (std::int64_t y = 100; y < large.size(0); ++y) {
    for (std::int64_t x = 0; x < 60; ++x) {
      ink += pixel(large, x, y) == 0 ? 1 : 0;
    }
  }
  CHECK(ink > 1000);
}

}  // namespace
}  // namespace cks::apps
