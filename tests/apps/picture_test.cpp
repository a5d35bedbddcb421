#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>

#include "apps/run/results.h"
#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/datasets/images/image_write.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#include <stb_image.h>

namespace cks::apps {
namespace {

using testing::message_of;

/// Bytes 0, 37, 74, ... modulo 256.
Tensor striped(const Shape& shape) {
  Tensor image = Tensor::empty(shape, DType::uint8);
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    image.data_as<std::uint8_t>()[i] = static_cast<std::uint8_t>(37 * i);
  }
  return image;
}

/// What an independent reader finds in a PNG file.
Tensor decoded(const std::string& path) {
  const std::string file = read_file(path);
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(file.data()),
                            static_cast<int>(file.size()), &width, &height, &channels, 0),
      &stbi_image_free);
  REQUIRE(pixels);
  const Tensor shared = Tensor::from_blob(pixels.get(), {height, width, channels}, DType::uint8);
  return shared.clone();
}

TEST_CASE("write_png: a reader finds the same pixels") {
  const testing::ScratchFolder folder;
  const std::string path = folder.path() + "/image.png";
  for (const Shape& shape : {Shape{5, 7, 1}, Shape{5, 7, 3}, Shape{1, 1, 3}, Shape{64, 300, 3}}) {
    CAPTURE(shape.to_string());
    const Tensor image = striped(shape);
    write_png(path, image);
    const Tensor found = decoded(path);
    CHECK(found.shape() == shape);
    CHECK(found.to_vector<std::uint8_t>() == image.to_vector<std::uint8_t>());
  }
}

TEST_CASE("write_png: bad input") {
  const testing::ScratchFolder folder;
  const std::string path = folder.path() + "/image.png";
  CHECK(message_of<ShapeError>([&] {
          write_png(path, striped({2, 2, 4}));
        }) == "write_png: image must have 1 or 3 channels, got [2,2,4]");
  CHECK(message_of<ShapeError>([&] {
          write_png(path, striped({2, 2}));
        }) == "write_png: image must have rank 3 and a pixel, got [2,2]");
  CHECK_THROWS_AS(write_png(path, striped({0, 2, 3})), ShapeError);
  CHECK_THROWS_AS(write_png(path, striped({1, (1 << 14) + 1, 1})), ShapeError);
  CHECK(message_of<DtypeError>([&] {
          write_png(path, Tensor::zeros({2, 2, 3}));
        }) == "write_png: image must be uint8, got float32");
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_THROWS_AS(write_png(folder.path() + "/missing/image.png", striped({2, 2, 3})), IoError);
}

TEST_CASE("picture_grid: images in their places, the rest white") {
  const Tensor images = striped({3, 2, 3, 1});
  const Tensor grid = picture_grid(images, 2, 1);
  REQUIRE(grid.shape() == Shape{5, 7, 1});
  const auto from = images.to_vector<std::uint8_t>();
  const auto to = grid.to_vector<std::uint8_t>();
  for (std::size_t y = 0; y < 5; ++y) {
    for (std::size_t x = 0; x < 7; ++x) {
      const std::size_t image = y / 3 * 2 + x / 4;
      const bool gap = y % 3 == 2 || x % 4 == 3 || image >= 3;
      CHECK(to[y * 7 + x] == (gap ? 255 : from[image * 6 + y % 3 * 3 + x % 4]));
    }
  }
  CHECK(picture_grid(striped({1, 4, 5, 3}), 3).shape() == Shape{4, 19, 3});
  CHECK(message_of<Error>([&] { picture_grid(images, 0); }) ==
        "picture_grid: columns must be at least 1 and gap at least 0, got 0 and 2");
  CHECK_THROWS_AS(picture_grid(striped({2, 3, 1}), 1), ShapeError);
  CHECK_THROWS_AS(picture_grid(striped({0, 2, 3, 1}), 1), ShapeError);
}

TEST_CASE("denormalised: undoes the normalisation and cuts what is out of range") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor images =
      Tensor::from_vector<float>({0.0F, 1.0F, -9.0F, 9.0F, nan, 0.5F}, {1, 3, 1, 2});
  const Tensor bytes = denormalised(images, {0.2F, 0.4F}, {0.5F, 0.2F});
  CHECK(bytes.shape() == images.shape());
  CHECK(bytes.to_vector<std::uint8_t>() ==
        std::vector<std::uint8_t>{51, 153, 0, 255, 0, 128});  // 127.5 rounds up
  CHECK(message_of<ShapeError>([&] { denormalised(images, {0.2F}, {0.5F}); }) ==
        "denormalised: images must be [N,H,W,C] with a mean and a std for each of C, got "
        "[1,3,1,2], 1 means, 1 stds");
}

}  // namespace
}  // namespace cks::apps
