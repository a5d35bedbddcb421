#include "cks/datasets/validation.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "cks/core/error.h"

namespace {

using namespace cks;

/// Images of one pixel, which is their number, in classes of 40, 10, 3 and 1 images.
TrainTest some_data() {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
  const std::int64_t counts[] = {40, 10, 3, 1};
  for (std::int64_t label = 0; label < 4; ++label) {
    for (std::int64_t i = 0; i < counts[label]; ++i) {
      pixels.push_back(static_cast<std::uint8_t>(pixels.size()));
      labels.push_back(label);
    }
  }
  const auto count = static_cast<std::int64_t>(pixels.size());
  TrainTest data;
  data.train = {.name = "numbers",
                .images = Tensor::from_vector(pixels, {count, 1, 1, 1}),
                .labels = Tensor::from_vector(labels, {count}),
                .class_names = {"a", "b", "c", "d"},
                .mean = {},
                .std = {},
                .source = {}};
  data.test = data.train;
  set_statistics(data);
  return data;
}

std::map<std::int64_t, std::int64_t> counts_of(const ImageDataset& half) {
  std::map<std::int64_t, std::int64_t> counts;
  for (const std::int64_t label : half.labels.to_vector<std::int64_t>()) {
    ++counts[label];
  }
  return counts;
}

using Counts = std::map<std::int64_t, std::int64_t>;

TEST_CASE("a share of each class becomes the validation half") {
  const TrainTest data = some_data();
  const TrainTest cut = cut_validation(data, {.share = 0.2, .seed = 1});
  REQUIRE(cut.val);
  CHECK(counts_of(*cut.val) == Counts{{0, 8}, {1, 2}, {2, 1}});  // the only d stays
  CHECK(counts_of(cut.train) == Counts{{0, 32}, {1, 8}, {2, 2}, {3, 1}});
  CHECK(cut.test.size() == data.test.size());
  // Nothing is lost or in both, images keep their labels and their order.
  const auto all = data.train.labels.to_vector<std::int64_t>();
  std::set<std::uint8_t> seen;
  for (const ImageDataset* half : {&cut.train, &*cut.val}) {
    CHECK_NOTHROW(half->check());
    const auto pixels = half->images.to_vector<std::uint8_t>();
    const auto labels = half->labels.to_vector<std::int64_t>();
    CHECK(std::is_sorted(pixels.begin(), pixels.end()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      CHECK(seen.insert(pixels[i]).second);
      CHECK(labels[i] == all[pixels[i]]);
    }
  }
  CHECK(seen.size() == all.size());
  const ChannelStatistics statistics = channel_statistics(cut.train.images);
  for (const ImageDataset* half : {&cut.train, &cut.test, &*cut.val}) {
    CHECK(half->mean == statistics.mean);
    CHECK(half->std == statistics.std);
  }
}

TEST_CASE("which images are cut off depends on the seed alone") {
  const auto chosen = [](std::uint64_t seed) {
    return cut_validation(some_data(), {.share = 0.3, .seed = seed})
        .val->images.to_vector<std::uint8_t>();
  };
  CHECK(chosen(1) == chosen(1));
  CHECK(chosen(1) != chosen(2));
}

TEST_CASE("a validation half that cannot be cut is an error that says why") {
  for (const double share : {0.0, 1.0, -0.1, 2.0}) {
    CHECK_THROWS_WITH_AS(cut_validation(some_data(), {.share = share}),
                         doctest::Contains("expected a number between 0 and 1"), Error);
  }
  TrainTest with_own = some_data();
  with_own.val = with_own.test;
  CHECK_THROWS_WITH_AS(cut_validation(with_own), doctest::Contains("validation half of their own"),
                       Error);
  TrainTest one_each = some_data();
  one_each.train = one_each.train.subset(52, 54);  // a c and the d
  CHECK_THROWS_WITH_AS(cut_validation(one_each), doctest::Contains("one training image a class"),
                       Error);
}

}  // namespace
