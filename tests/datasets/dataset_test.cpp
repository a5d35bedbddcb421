#include "cks/datasets/dataset.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/datasets/support.h"

using cks::ImageDataset;
using cks::Tensor;

namespace {

ImageDataset small_dataset() {
  ImageDataset dataset;
  dataset.name = "small";
  dataset.images = Tensor::from_vector<std::uint8_t>(
      {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110}, {3, 1, 2, 2});
  dataset.labels = Tensor::from_vector<std::int64_t>({2, 0, 1}, {3});
  dataset.class_names = cks::numbered_classes(3);
  dataset.mean = {0.1F, 0.2F};
  dataset.std = {0.5F, 0.25F};
  return dataset;
}

template <class Change>
std::string check_error(Change&& change) {
  ImageDataset dataset = small_dataset();
  change(dataset);
  try {
    dataset.check();
  } catch (const cks::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_CASE("numbered_classes: of a number, and no absurd one") {
  CHECK(cks::numbered_classes(3) == std::vector<std::string>{"0", "1", "2"});
  CHECK(cks::numbered_classes(0).empty());
  CHECK_THROWS_AS(cks::numbered_classes(INT64_MAX), cks::OutOfMemoryError);
}

}  // namespace

TEST_CASE("dataset: extents, subset and limit share the memory") {
  const ImageDataset dataset = small_dataset();
  dataset.check();
  CHECK(dataset.size() == 3);
  CHECK(dataset.height() == 1);
  CHECK(dataset.width() == 2);
  CHECK(dataset.channels() == 2);
  CHECK(dataset.classes() == 3);
  const ImageDataset part = dataset.subset(1, 3);
  part.check();
  CHECK(part.labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1});
  CHECK(part.images.data() == dataset.images.data_as<std::uint8_t>() + 4);
  CHECK(part.mean == dataset.mean);
  CHECK(dataset.limit(2).size() == 2);
  CHECK(dataset.limit(100).size() == 3);
  CHECK_THROWS_WITH_AS(dataset.limit(0), doctest::Contains("limit is 0"), cks::ShapeError);
  CHECK_THROWS_WITH_AS(dataset.subset(2, 4), doctest::Contains("[2,4)"), cks::ShapeError);
  CHECK_THROWS_AS(dataset.subset(-1, 2), cks::ShapeError);
  CHECK_THROWS_AS(dataset.subset(2, 2), cks::ShapeError);
}

TEST_CASE("dataset: select copies images in any order; classes without one are named") {
  const ImageDataset dataset = small_dataset();
  CHECK(dataset.classes_without_images().empty());
  const ImageDataset chosen = dataset.select({2, 0, 2});
  chosen.check();
  CHECK(chosen.size() == 3);
  for (const auto& [place, from] : {std::pair{0, 2}, {1, 0}, {2, 2}}) {
    const auto one = chosen.subset(place, place + 1);
    const auto original = dataset.subset(from, from + 1);
    CHECK(one.images.to_vector<std::uint8_t>() == original.images.to_vector<std::uint8_t>());
    CHECK(one.labels.to_vector<std::int64_t>() == original.labels.to_vector<std::int64_t>());
    CHECK(one.images.data() != original.images.data());
  }
  CHECK(chosen.classes_without_images().size() == 1);
  CHECK_THROWS_WITH_AS(dataset.select({3}), doctest::Contains("no image 3 of its 3"),
                       cks::ShapeError);
  CHECK_THROWS_AS(dataset.select({-1}), cks::ShapeError);
}

TEST_CASE("dataset: masks label each pixel, in parts and weights too") {
  ImageDataset masked;
  masked.name = "masked";
  masked.images = Tensor::zeros({3, 1, 2, 1}, cks::DType::uint8);
  masked.labels = Tensor::from_vector<std::int64_t>({0, 1, 2, 0, 0, 0}, {3, 1, 2});
  masked.class_names = {"a", "b"};
  masked.mean = {0.0F};
  masked.std = {1.0F};
  masked.ignore_index = 2;
  masked.check();
  CHECK(masked.has_masks());
  CHECK(masked.select({1, 0}).labels.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{2, 0, 0, 1});
  CHECK(masked.subset(2, 3).labels.shape() == cks::Shape{1, 1, 2});
  CHECK(masked.balanced_class_weights() == std::vector<double>{5.0 / 8.0, 5.0 / 2.0});
  masked.labels = masked.labels.reshape({3, 2, 1});
  CHECK_THROWS_WITH_AS(masked.check(), doctest::Contains("one label for each pixel"),
                       cks::ShapeError);
  masked.labels = Tensor::full({3, 1, 2}, 3, cks::DType::int64);
  CHECK_THROWS_WITH_AS(masked.check(), doctest::Contains("label 0 is 3, expected 0 to 1"),
                       cks::Error);
}

TEST_CASE("dataset: check names the dataset, the member and the shapes") {
  using cks::testing::contains;
  CHECK(check_error([](ImageDataset&) {}) == "no error");
  CHECK(contains(check_error([](ImageDataset& d) { d.images = Tensor(); }), "'small': images or"));
  CHECK(contains(check_error([](ImageDataset& d) {
                   d.images = Tensor::zeros({3, 1, 2, 2});
                 }),
                 "float32"));
  CHECK(contains(check_error([](ImageDataset& d) { d.labels = Tensor::zeros({3}); }), "float32"));
  CHECK(contains(check_error([](ImageDataset& d) {
                   d.images = d.images.reshape({3, 4});
                 }),
                 "[N,H,W,C] without a zero (images [3,4], labels [3])"));
  CHECK(contains(check_error([](ImageDataset& d) {
                   d.images = Tensor::zeros({0, 1, 2, 2}, cks::DType::uint8);
                   d.labels = Tensor::zeros({0}, cks::DType::int64);
                 }),
                 "without a zero"));
  CHECK(contains(check_error([](ImageDataset& d) { d.labels = d.labels.slice(0, 2); }),
                 "one label for each image (images [3,1,2,2], labels [2])"));
  CHECK(contains(check_error([](ImageDataset& d) { d.mean.pop_back(); }), "mean has 1"));
  CHECK(contains(check_error([](ImageDataset& d) { d.std.push_back(1.0F); }), "std 3 values"));
  CHECK(contains(check_error([](ImageDataset& d) { d.std[1] = 0.0F; }), "channel 1"));
  CHECK(contains(
      check_error([](ImageDataset& d) { d.mean[0] = std::numeric_limits<float>::quiet_NaN(); }),
      "channel 0"));
  CHECK(contains(check_error([](ImageDataset& d) { d.class_names.pop_back(); }),
                 "label 0 is 2, expected 0 to 1"));
  CHECK(contains(check_error([](ImageDataset& d) {
                   d.labels = Tensor::from_vector<std::int64_t>({0, -1, 0}, {3});
                 }),
                 "label 1 is -1"));
}

TEST_CASE("channel statistics: exact for each channel; a constant channel has std 1") {
  const cks::ChannelStatistics known = cks::channel_statistics(
      Tensor::from_vector<std::uint8_t>({0, 7, 255, 7, 255, 7, 0, 7}, {2, 1, 2, 2}));
  CHECK(known.mean[0] == 0.5F);
  CHECK(known.std[0] == 0.5F);
  CHECK(known.mean[1] == static_cast<float>(7.0 / 255.0));
  CHECK(known.std[1] == 1.0F);
  CHECK_THROWS_AS(cks::channel_statistics(Tensor::zeros({2, 2}, cks::DType::uint8)),
                  cks::ShapeError);
  CHECK_THROWS_AS(cks::channel_statistics(Tensor::zeros({2, 2, 2, 1})), cks::DtypeError);
}

TEST_CASE("balanced class weights: all classes with an image count alike") {
  cks::ImageDataset dataset;
  dataset.images = Tensor::zeros({6, 1, 1, 1}, cks::DType::uint8);
  dataset.labels = Tensor::from_vector<std::int64_t>({2, 0, 2, 2, 2, 0}, {6});
  dataset.class_names = {"a", "b", "c"};
  CHECK(dataset.balanced_class_weights() == std::vector<double>{1.5, 0.0, 0.75});
}

TEST_CASE("describe: name and source in one line") {
  CHECK(cks::describe("mnist", {"/a", cks::DataSource::Checksums::verified, ""}) ==
        "mnist from /a (checksums verified)");
  CHECK(cks::describe("drawn digits", {"drawn from seed 1", {}, ""}) ==
        "drawn digits, drawn from seed 1");
}
