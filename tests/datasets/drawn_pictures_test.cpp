#include "cks/datasets/drawn/drawn_pictures.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "cks/core/error.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/datasets/support.h"

using cks::draw_picture;
using cks::drawn_pictures;
using cks::DrawnSplit;

namespace {

std::uint32_t crc(const cks::Tensor& tensor) {
  return cks::testing::crc32_of(
      tensor.data(), static_cast<std::size_t>(tensor.numel()) * cks::size_of(tensor.dtype()));
}

}  // namespace

TEST_CASE("drawn pictures: the same bytes on every machine") {
  const cks::TrainTest pictures =
      drawn_pictures({.seed = 1, .train_count = 2000, .test_count = 1000});
  CHECK(crc(pictures.train.images) == 0xc556dbe1U);
  CHECK(crc(pictures.test.images) == 0xb59d6690U);
  CHECK(pictures.train.labels.slice(0, 10).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1, 4, 6, 8, 9, 3, 2, 7, 0, 5});
  pictures.train.check();
  pictures.test.check();
  CHECK(pictures.train.mean == pictures.test.mean);
  CHECK(pictures.train.source.checksums == cks::DataSource::Checksums::none);
  CHECK(cks::describe(pictures.train.name, pictures.train.source) ==
        "drawn pictures, drawn from seed 1");
}

TEST_CASE("drawn pictures: an image alone is the image of the dataset, for any number of threads") {
  const int before = cks::kernels::num_threads();
  const cks::TrainTest pictures =
      drawn_pictures({.seed = 5, .train_count = 700, .test_count = 300});
  for (const int threads : {1, 3}) {
    cks::kernels::set_num_threads(threads);
    const cks::TrainTest again = drawn_pictures({.seed = 5, .train_count = 700, .test_count = 300});
    CHECK(crc(again.train.images) == crc(pictures.train.images));
    CHECK(crc(again.test.labels) == crc(pictures.test.labels));
  }
  cks::kernels::set_num_threads(before);
  std::array<std::uint8_t, 3072> pixels{};
  for (const std::int64_t i : {0, 255, 256, 699}) {
    const std::int64_t label = draw_picture(5, DrawnSplit::train, i, pixels.data());
    CHECK(label == pictures.train.labels.to_vector<std::int64_t>()[static_cast<std::size_t>(i)]);
    CHECK(std::equal(pixels.begin(), pixels.end(),
                     pictures.train.images.data_as<std::uint8_t>() + i * 3072));
  }
}

TEST_CASE("drawn pictures: each ten hold every class once, in no fixed order") {
  const cks::TrainTest pictures =
      drawn_pictures({.seed = 2, .train_count = 1000, .test_count = 10});
  const std::vector<std::int64_t> labels = pictures.train.labels.to_vector<std::int64_t>();
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

TEST_CASE("drawn pictures: no image comes twice, within a split, across splits and seeds") {
  std::set<std::vector<std::uint8_t>> images;
  for (const std::uint64_t seed : {1U, 2U}) {
    for (const DrawnSplit split : {DrawnSplit::train, DrawnSplit::test}) {
      for (std::int64_t i = 0; i < 500; ++i) {
        std::vector<std::uint8_t> pixels(3072);
        draw_picture(seed, split, i, pixels.data());
        images.insert(std::move(pixels));
      }
    }
  }
  CHECK(images.size() == 2000);
}

TEST_CASE("drawn pictures: every picture has colours and a shape brighter than its background") {
  std::array<std::uint8_t, 3072> pixels{};
  std::int64_t brighter = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    draw_picture(3, DrawnSplit::train, i, pixels.data());
    std::int64_t inside = 0;
    std::int64_t corner = 0;
    for (std::size_t p = 0; p < 8 * 8 * 3; ++p) {
      const std::size_t y = p / 24;
      const std::size_t x = p % 24;
      inside += pixels[(y + 12) * 96 + 36 + x];
      corner += pixels[y * 96 + x];
    }
    brighter += inside > corner ? 1 : 0;
  }
  CHECK(brighter > 700);
}

TEST_CASE("drawn pictures: wrong arguments") {
  std::array<std::uint8_t, 3072> pixels{};
  CHECK_THROWS_WITH_AS(draw_picture(1, DrawnSplit::train, -1, pixels.data()),
                       doctest::Contains("index is -1"), cks::Error);
  CHECK_THROWS_WITH_AS(drawn_pictures({.train_count = 0}), doctest::Contains("count is 0"),
                       cks::Error);
  CHECK_THROWS_AS(drawn_pictures({.train_count = 1, .test_count = -5}), cks::Error);
}
