#include "cks/datasets/drawn/drawn_digits.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "cks/core/error.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/datasets/support.h"

using cks::draw_digit;
using cks::drawn_digits;
using cks::DrawnSplit;

namespace {

std::uint32_t crc(const cks::Tensor& tensor) {
  return cks::testing::crc32_of(
      tensor.data(), static_cast<std::size_t>(tensor.numel()) * cks::size_of(tensor.dtype()));
}

}  // namespace

TEST_CASE("drawn digits: the same bytes on every machine") {
  const cks::TrainTest digits = drawn_digits({.seed = 1, .train_count = 2000, .test_count = 1000});
  CHECK(crc(digits.train.images) == 0x6e6f527fU);
  CHECK(crc(digits.test.images) == 0xb042a0d8U);
  CHECK(digits.train.labels.slice(0, 10).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{4, 2, 6, 9, 0, 5, 7, 1, 3, 8});
  digits.train.check();
  digits.test.check();
  CHECK(digits.train.mean == digits.test.mean);
  CHECK(digits.train.source.checksums == cks::DataSource::Checksums::none);
  CHECK(cks::describe(digits.train.name, digits.train.source) == "drawn digits, drawn from seed 1");
}

TEST_CASE("drawn digits: an image alone is the image of the dataset, for any number of threads") {
  const int before = cks::kernels::num_threads();
  const cks::TrainTest digits = drawn_digits({.seed = 5, .train_count = 700, .test_count = 300});
  for (const int threads : {1, 3}) {
    cks::kernels::set_num_threads(threads);
    const cks::TrainTest again = drawn_digits({.seed = 5, .train_count = 700, .test_count = 300});
    CHECK(crc(again.train.images) == crc(digits.train.images));
    CHECK(crc(again.test.labels) == crc(digits.test.labels));
  }
  cks::kernels::set_num_threads(before);
  std::array<std::uint8_t, 784> pixels{};
  for (const std::int64_t i : {0, 255, 256, 699}) {
    const std::int64_t label = draw_digit(5, DrawnSplit::train, i, pixels.data());
    CHECK(label == digits.train.labels.to_vector<std::int64_t>()[static_cast<std::size_t>(i)]);
    CHECK(std::equal(pixels.begin(), pixels.end(),
                     digits.train.images.data_as<std::uint8_t>() + i * 784));
  }
}

TEST_CASE("drawn digits: each ten hold every digit once, in no fixed order") {
  const cks::TrainTest digits = drawn_digits({.seed = 2, .train_count = 1000, .test_count = 10});
  const std::vector<std::int64_t> labels = digits.train.labels.to_vector<std::int64_t>();
  std::set<std::vector<std::int64_t>> orders;
  for (std::size_t ten = 0; ten < 100; ++ten) {
    std::vector<std::int64_t> part(labels.begin() + static_cast<std::ptrdiff_t>(10 * ten),
                                   labels.begin() + static_cast<std::ptrdiff_t>(10 * ten + 10));
    orders.insert(part);
    std::sort(part.begin(), part.end());
    CHECK(part == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
  CHECK(orders.size() == 100);
}

TEST_CASE("drawn digits: no image comes twice, within a split, across splits and seeds") {
  std::set<std::vector<std::uint8_t>> images;
  for (const std::uint64_t seed : {1U, 2U}) {
    for (const DrawnSplit split : {DrawnSplit::train, DrawnSplit::test}) {
      for (std::int64_t i = 0; i < 500; ++i) {
        std::vector<std::uint8_t> pixels(784);
        draw_digit(seed, split, i, pixels.data());
        images.insert(std::move(pixels));
      }
    }
  }
  CHECK(images.size() == 2000);
}

TEST_CASE("drawn digits: every image has ink on it and paper around it") {
  std::array<std::uint8_t, 784> pixels{};
  std::int64_t on_border = 0;
  for (std::int64_t i = 0; i < 2000; ++i) {
    draw_digit(3, DrawnSplit::train, i, pixels.data());
    const auto inked = std::count_if(pixels.begin(), pixels.end(), [](int p) { return p > 100; });
    CAPTURE(i);
    CHECK(inked >= 8);
    CHECK(inked <= 300);
    for (std::size_t side = 0; side < 28; ++side) {
      on_border += (pixels[side] > 0) + (pixels[783 - side] > 0) + (pixels[28 * side] > 0) +
                   (pixels[28 * side + 27] > 0);
    }
  }
  CHECK(on_border < 2000);  // of 224,000
}

TEST_CASE("drawn digits: wrong arguments") {
  std::array<std::uint8_t, 784> pixels{};
  CHECK_THROWS_WITH_AS(draw_digit(1, DrawnSplit::train, -1, pixels.data()),
                       doctest::Contains("index is -1"), cks::Error);
  CHECK_THROWS_WITH_AS(drawn_digits({.train_count = 0}), doctest::Contains("count is 0"),
                       cks::Error);
  CHECK_THROWS_AS(drawn_digits({.train_count = 1, .test_count = -5}), cks::Error);
}
