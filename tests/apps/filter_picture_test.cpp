#include <doctest/doctest.h>

#include <limits>

#include "apps/report/figures.h"
#include "cks/core/error.h"
#include "tests/support/tensors.h"

namespace cks::apps {
namespace {

using testing::message_of;
using testing::random_tensor;

/// The byte of a pixel.
int at(const Tensor& picture, std::int64_t y, std::int64_t x, std::int64_t c = 0) {
  return picture.data_as<std::uint8_t>()[(y * picture.size(1) + x) * picture.size(2) + c];
}

TEST_CASE("filter_picture: each filter in its own scale, enlarged, zero grey") {
  // 2x2 windows become tiles of 32x32: 16 pixels for each weight, 2 between tiles.
  const Tensor filters = Tensor::from_vector<float>(
      {1.0F, -1.0F, 0.0F, 0.5F, 0.0F, 0.0F, 0.02F, -0.01F, 0.0F, 0.0F, 0.0F, 0.0F}, {3, 1, 2, 2});
  const Tensor picture = filter_picture(filters);
  REQUIRE(picture.shape() == Shape{66, 66, 1});
  CHECK(at(picture, 0, 0) == 255);
  CHECK(at(picture, 15, 15) == 255);
  CHECK(at(picture, 0, 16) == 0);
  CHECK(at(picture, 16, 0) == 128);
  CHECK(at(picture, 31, 31) == 191);
  CHECK(at(picture, 0, 32) == 255);   // between tiles
  CHECK(at(picture, 0, 34) == 128);   // the second filter
  CHECK(at(picture, 31, 34) == 255);  // 0.02, the greatest of its filter
  CHECK(at(picture, 31, 65) == 64);   // -0.01
  CHECK(at(picture, 34, 0) == 128);   // the third one, all zeros
  CHECK(at(picture, 65, 65) == 255);  // there is no fourth one
}

TEST_CASE("filter_picture: three channels are colours, other numbers grey tiles in a row") {
  Tensor colour = Tensor::zeros({1, 3, 1, 1});
  colour.data_as<float>()[0] = 2.0F;
  colour.data_as<float>()[1] = -2.0F;
  const Tensor tile = filter_picture(colour);
  REQUIRE(tile.shape() == Shape{32, 32, 3});
  CHECK(at(tile, 5, 7, 0) == 255);
  CHECK(at(tile, 5, 7, 1) == 0);
  CHECK(at(tile, 5, 7, 2) == 128);

  Tensor pairs = Tensor::zeros({3, 2, 1, 1});
  pairs.data_as<float>()[1] = 4.0F;   // filter 0, channel 1
  pairs.data_as<float>()[0] = -4.0F;  // filter 0, channel 0
  const Tensor rows = filter_picture(pairs);
  REQUIRE(rows.shape() == Shape{3 * 34 - 2, 2 * 34 - 2, 1});
  CHECK(at(rows, 0, 0) == 0);
  CHECK(at(rows, 0, 34) == 255);
  CHECK(at(rows, 34, 0) == 128);

  CHECK(filter_picture(random_tensor({6, 1, 5, 5}, 1)).shape() == Shape{72, 109, 1});
  CHECK(filter_picture(random_tensor({64, 3, 3, 3}, 2)).shape() == Shape{278, 278, 3});
  CHECK(filter_picture(random_tensor({2, 3, 40, 2}, 3)).shape() == Shape{40, 6, 3});
}

TEST_CASE("filter_picture: bad input") {
  CHECK(message_of<ShapeError>([] {
          filter_picture(Tensor::zeros({3, 3}));
        }) == "filter_picture: filters are [3,3], expected [OC,IC,FH,FW] without a zero");
  CHECK_THROWS_AS(filter_picture(Tensor::zeros({0, 3, 3, 3})), ShapeError);
  CHECK(message_of<DtypeError>([] {
          filter_picture(Tensor::zeros({1, 1, 1, 1}, DType::int64));
        }) == "filter_picture: filters are int64, expected a floating dtype");
  Tensor broken = Tensor::zeros({2, 1, 1, 1});
  broken.data_as<float>()[1] = std::numeric_limits<float>::infinity();
  CHECK(message_of<Error>([&] { filter_picture(broken); }) ==
        "filter_picture: filter 1 has a weight that is not finite");
}

}  // namespace
}  // namespace cks::apps
