#include "cks/kernels/conv2d/problem.h"

#include <doctest/doctest.h>

#include <limits>

#include "cks/kernels/common/error.h"
#include "tests/support/conv2d_problems.h"

using cks::DType;
using cks::Padding2d;
using cks::Size2;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dSizes;
using cks::kernels::make_conv2d_problem;
using cks::kernels::make_conv_transpose2d_problem;
using cks::testing::IllegalProblem;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Conv2dProblem make(const IllegalProblem& illegal, const char* operation) {
  return illegal.transposed
             ? make_conv_transpose2d_problem(illegal.sizes, illegal.output_padding, operation)
             : make_conv2d_problem(illegal.sizes, operation);
}

}  // namespace

TEST_CASE("problem: illegal sizes are refused with operation, shapes and the numbers at fault") {
  for (const IllegalProblem& illegal : cks::testing::illegal_conv2d_problems()) {
    CAPTURE(illegal.name);
    std::string message;
    try {
      make(illegal, "my_operation");
      FAIL_CHECK("accepted");
    } catch (const cks::ShapeError& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.rfind("my_operation: ", 0) == 0);
    // What is wrong stands before the shapes, which always follow.
    const std::size_t shapes = message.find(" (input [");
    REQUIRE(shapes != std::string::npos);
    const std::string what = message.substr(0, shapes);
    for (const std::string& part : illegal.message_parts) {
      CAPTURE(part);
      CHECK(contains(what, part));
    }
    for (const char* part : {"filter [", "stride {", "padding {", "dilation {", "groups "}) {
      CHECK(contains(message.substr(shapes), part));
    }
  }
}

TEST_CASE("problem: integer dtypes are refused") {
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8}) {
    CHECK_THROWS_AS(make_conv2d_problem({.dtype = dtype}), cks::DtypeError);
    CHECK_THROWS_AS(make_conv_transpose2d_problem({.dtype = dtype}, 0), cks::DtypeError);
  }
  CHECK(make_conv2d_problem({.dtype = DType::bfloat16}).w_type == DType::bfloat16);
}

TEST_CASE("problem: extents whose products overflow are refused, large ones are not") {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_AS(make_conv2d_problem({.N = kLargest, .IH = 4, .IW = 4}), cks::ShapeError);
  CHECK_THROWS_AS(make_conv2d_problem({.IH = kLargest, .IW = kLargest}), cks::ShapeError);
  CHECK_THROWS_AS(make_conv2d_problem({.padding = kLargest}), cks::ShapeError);
  CHECK_THROWS_AS(make_conv2d_problem({.FH = 2, .dilation = kLargest}), cks::ShapeError);
  CHECK_THROWS_AS(make_conv2d_problem({.stride = kLargest}), cks::ShapeError);
  CHECK_THROWS_AS(make_conv_transpose2d_problem({.IH = 1 << 30, .stride = 1 << 30}, 0),
                  cks::ShapeError);
  CHECK_THROWS_AS(make_conv_transpose2d_problem({.stride = kLargest}, kLargest - 1),
                  cks::ShapeError);
  const Conv2dProblem large = make_conv2d_problem({.N = 1 << 20, .IH = 1 << 10, .IW = 1 << 10});
  CHECK(large.N * large.OH * large.OW == std::int64_t{1} << 40);
}

TEST_CASE("problem: output extents are the number of positions where the filter fits") {
  for (std::int64_t in = 1; in <= 9; ++in) {
    for (std::int64_t pad = 0; pad <= 5; ++pad) {
      for (std::int64_t filter = 1; filter <= 5; ++filter) {
        for (std::int64_t stride = 1; stride <= 4; ++stride) {
          for (std::int64_t dilation = 1; dilation <= 3; ++dilation) {
            std::int64_t positions = 0;
            while (positions * stride + dilation * (filter - 1) < in + pad) {
              ++positions;
            }
            const std::int64_t extent =
                cks::kernels::conv_output_extent(in, pad, filter, stride, dilation);
            CHECK((positions == 0 ? extent < 1 : extent == positions));
          }
        }
      }
    }
  }
}

TEST_CASE("problem: every field is taken over, pixels are dense") {
  const Conv2dProblem p = make_conv2d_problem({.N = 2,
                                               .IH = 11,
                                               .IW = 13,
                                               .IC = 6,
                                               .OC = 9,
                                               .FH = 3,
                                               .FW = 4,
                                               .stride = Size2(2, 3),
                                               .padding = Padding2d(1, 2, 3, 4),
                                               .dilation = Size2(2, 1),
                                               .groups = 3,
                                               .dtype = DType::float64});
  const Conv2dProblem expected{.N = 2,
                               .IH = 11,
                               .IW = 13,
                               .IC = 6,
                               .OC = 9,
                               .FH = 3,
                               .FW = 4,
                               .OH = 5,
                               .OW = 6,
                               .sh = 2,
                               .sw = 3,
                               .pt = 1,
                               .pb = 2,
                               .pl = 3,
                               .pr = 4,
                               .dh = 2,
                               .dw = 1,
                               .G = 3,
                               .x_pitch = 6,
                               .y_pitch = 9,
                               .x_type = DType::float64,
                               .w_type = DType::float64,
                               .y_type = DType::float64};
  CHECK(p == expected);
}

TEST_CASE("problem: without output padding a transposed convolution inverts the size formula") {
  for (const cks::testing::ListedProblem& listed : cks::testing::conv2d_problems()) {
    if (!listed.transposed) {
      continue;
    }
    CAPTURE(listed.name);
    const Conv2dProblem p = listed.at(DType::float32);
    CHECK(p.OH == listed.sizes.IH);
    CHECK(p.OW == listed.sizes.IW);
    CHECK(p.OC == listed.sizes.IC);
    CHECK(p.IC == listed.sizes.OC);
    // An output padding below the stride leads to the same convolution; a larger one, which a
    // dilation permits, adds rows that a convolution would read once more.
    if (listed.output_padding.h < p.sh) {
      CHECK(cks::kernels::conv_output_extent(p.IH, p.pt + p.pb, p.FH, p.sh, p.dh) == p.OH);
    }
    if (listed.output_padding.w < p.sw) {
      CHECK(cks::kernels::conv_output_extent(p.IW, p.pl + p.pr, p.FW, p.sw, p.dw) == p.OW);
    }
  }
}

TEST_CASE("problem: the text names everything that differs from another problem") {
  Conv2dSizes sizes{.N = 8, .IH = 32, .IW = 31, .IC = 3, .OC = 16, .FH = 5, .FW = 7};
  sizes.padding = Padding2d(1, 2, 3, 4);
  sizes.stride = Size2(2, 1);
  Conv2dProblem p = make_conv2d_problem(sizes);
  const std::string text = to_string(p);
  CAPTURE(text);
  for (const char* part : {"N8", "32x31x3", "16", "5x7", "2x1", "1,2,3,4", "float32"}) {
    CHECK(contains(text, part));
  }
  p.x_pitch = 4;
  CHECK(to_string(p) != text);
}
