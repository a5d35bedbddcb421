#include "cks/datasets/images/ascii_art.h"

#include <doctest/doctest.h>

#include "cks/core/error.h"

using cks::ascii_art;
using cks::Tensor;

TEST_CASE("ascii art: two rows a line, from paper to ink") {
  const Tensor image =
      Tensor::from_vector<std::uint8_t>({0, 255, 128, 0, 255, 127,  // first line: 0, 255, 127.5
                                         26, 200, 255},             // last line: one row
                                        {3, 3});
  CHECK(ascii_art(image) == std::vector<std::string>{" @=", ".#@"});
  CHECK(ascii_art(image.reshape({3, 3, 1})) == ascii_art(image));
  CHECK(ascii_art(image.reshape({1, 3, 3, 1})) == ascii_art(image));
}

TEST_CASE("ascii art: channels are averaged") {
  const Tensor colour =
      Tensor::from_vector<std::uint8_t>({0, 0, 0, 255, 255, 255, 0, 128, 255}, {1, 3, 3});
  CHECK(ascii_art(colour) == std::vector<std::string>{" @="});
}

TEST_CASE("ascii art: wrong images") {
  CHECK_THROWS_WITH_AS(ascii_art(Tensor::zeros({2, 3, 3, 1}, cks::DType::uint8)),
                       doctest::Contains("[2,3,3,1]"), cks::ShapeError);
  CHECK_THROWS_AS(ascii_art(Tensor::zeros({0, 3}, cks::DType::uint8)), cks::ShapeError);
  CHECK_THROWS_AS(ascii_art(Tensor::zeros({3, 3})), cks::DtypeError);
}

TEST_CASE("beside: pictures of different sizes with captions") {
  CHECK(cks::beside({{"ab", "cd"}, {"x"}}, {"1", "long"}, 2) ==
        "ab  x\n"
        "cd\n"
        "1   long\n");
  CHECK(cks::beside({}, {}) == "\n");
  CHECK_THROWS_AS(cks::beside({{"a"}}, {}), cks::Error);
}
