#include "cks/core/ops/image_batch.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "cks/core/capture/capture.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;
using testing::test_devices;

ImageBank make_bank(Device device = {}) {
  std::vector<std::uint8_t> bytes;
  std::vector<std::int64_t> labels;
  for (std::uint64_t i = 0; i < std::uint64_t{20} * 5 * 4 * 2; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(testing::random_bits(1, i) >> 56));
  }
  for (std::int64_t i = 0; i < 20; ++i) {
    labels.push_back(i);
  }
  return {Tensor::from_vector(bytes, {20, 5, 4, 2}, device),
          Tensor::from_vector(labels, {20}, device),
          testing::random_tensor({2, 256}, 2, DType::float32).to(device)};
}

const ImageBatchOptions kOptions{.order_key = {1},
                                 .augment = {.crop_padding = 1,
                                             .flip = true,
                                             .cutout = 2,
                                             .rotation = 20.0,
                                             .scale = 0.25,
                                             .brightness = 0.5,
                                             .contrast = 0.25,
                                             .saturation = 0.75},
                                 .augment_key = {2}};

struct Made {
  std::vector<float> images;
  std::vector<std::int64_t> labels;
  friend bool operator==(const Made&, const Made&) = default;
};

/// `steps` batches of six, from a captured step.
std::vector<Made> captured_batches(Device device, int steps, const ImageBatchOptions& options) {
  const ImageBank bank = make_bank(device);
  Tensor images = Tensor::empty({6, 5, 4, 2}, DType::float32, device);
  Tensor labels = Tensor::empty({6}, DType::int64, device);
  Tensor position = make_batch_position(0, 0, device);
  CapturedStep step(
      [&] {
        make_image_batch_(images, labels, bank, position, options);
        advance_batch_position_(position, 6, 18);
      },
      device);
  std::vector<Made> made;
  for (int i = 0; i < steps; ++i) {
    step.run();
    made.push_back({images.to_vector<float>(), labels.to_vector<std::int64_t>()});
  }
  return made;
}

TEST_CASE("make_image_batch_: a captured step makes one batch after the other, on any device") {
  const std::vector<Made> expected = captured_batches(Device::cpu(), 7, kOptions);
  ImageBatchOptions reflecting = kOptions;
  reflecting.augment.reflect = true;
  const std::vector<Made> reflected = captured_batches(Device::cpu(), 7, reflecting);
  for (const Device device : test_devices()) {
    CHECK(captured_batches(device, 7, kOptions) == expected);
    CHECK(captured_batches(device, 7, reflecting) == reflected);
  }
  const auto numbers_of_0 = [](const std::vector<Made>& made) {
    return std::count(made[0].images.begin(), made[0].images.end(), 0.0F);
  };
  CHECK(numbers_of_0(expected) > numbers_of_0(reflected));  // of these the cutouts are left
  CHECK(numbers_of_0(reflected) <= 6 * 2 * 2 * 2);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto batch = static_cast<std::int64_t>(i);
    CHECK(expected[i].labels == image_batch_indices(20, batch / 3, batch % 3 * 6, 6, kOptions));
    for (std::size_t j = 0; j < i; ++j) {
      CHECK(expected[i] != expected[j]);
    }
  }
}

TEST_CASE("make_image_batch_: raises versions and refuses what does not fit") {
  const ImageBank bank = make_bank();
  Tensor images = Tensor::empty({6, 5, 4, 2});
  Tensor labels = Tensor::empty({6}, DType::int64);
  Tensor position = make_batch_position(0, 0, {});
  const std::uint64_t version = images.version();
  make_image_batch_(images, labels, bank, position, kOptions);
  CHECK(images.version() > version);

  const auto shape_message = [&](const std::function<void()>& change) {
    return message_of<ShapeError>(change);
  };
  Tensor wide = Tensor::empty({6, 5, 5, 2});
  CHECK(contains(shape_message([&] { make_image_batch_(wide, labels, bank, position, kOptions); }),
                 "images has shape [6,5,5,2], expected [6,5,4,2]"));
  Tensor few = Tensor::empty({5}, DType::int64);
  CHECK(contains(shape_message([&] { make_image_batch_(images, few, bank, position, kOptions); }),
                 "labels"));
  Tensor scalar = Tensor::scalar(0, DType::int64);
  CHECK(contains(shape_message([&] { make_image_batch_(images, labels, bank, scalar, kOptions); }),
                 "position"));
  ImageBank broken = bank;
  broken.tables = Tensor::zeros({3, 256});
  CHECK(contains(
      shape_message([&] { make_image_batch_(images, labels, broken, position, kOptions); }),
      "tables has shape [3,256], expected [2,256]"));
  Tensor doubles = Tensor::empty({6, 5, 4, 2}, DType::float64);
  CHECK_THROWS_AS(make_image_batch_(doubles, labels, bank, position, kOptions), DtypeError);
  ImageBatchOptions options = kOptions;
  for (const std::int64_t padding : {-1, 4}) {
    options.augment.crop_padding = padding;
    CHECK_THROWS_WITH_AS(make_image_batch_(images, labels, bank, position, options),
                         doctest::Contains("crop_padding is"), Error);
  }
  const auto refused = [&](const ImageAugmentation& augment) {
    options.augment = augment;
    return message_of<Error>([&] { make_image_batch_(images, labels, bank, position, options); });
  };
  CHECK(refused({.rotation = 46.0}) == "make_image_batch_: rotation is 46, expected 0 to 45");
  CHECK(contains(refused({.cutout = -1}), "cutout is -1, expected 0 to 65536"));
  CHECK(contains(refused({.scale = 0.51}), "scale is 0.51, expected 0 to 0.5"));
  CHECK(contains(refused({.brightness = -0.1}), "brightness is -0.1, expected 0 to 1"));
  CHECK(contains(refused({.contrast = NAN}), "contrast is nan, expected 0 to 1"));
  CHECK(contains(refused({.saturation = 2.0}), "saturation is 2, expected 0 to 1"));
  options.augment = {.alternate_flip = true};
  CHECK(message_of<Error>([&] { make_image_batch_(images, labels, bank, position, options); }) ==
        "make_image_batch_: alternate_flip needs flip");
  CHECK(refused({.reflect = true, .flip = true}) ==
        "make_image_batch_: reflect needs crop_padding, rotation or scale");
  CHECK_THROWS_AS(make_batch_position(-1, 0, {}), Error);
  CHECK_THROWS_AS(image_batch_indices(0, 0, 0, 1, kOptions), Error);
  CHECK_THROWS_AS(image_batch_indices(20, 0, 0, INT64_MAX, kOptions), OutOfMemoryError);
  CHECK_THROWS_AS(advance_batch_position_(position, 6, 0), Error);
  CHECK_THROWS_AS(advance_batch_position_(labels, 6, 20), ShapeError);
}

}  // namespace
}  // namespace cks
