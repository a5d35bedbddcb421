#include "cks/kernels/strided_copy/strided_copy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "cks/kernels/common/error.h"
#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

struct StridedCase {
  const char* what;
  Extents extents, source, target;
};

std::int64_t elements_spanned(const Extents& extents, const Extents& strides) {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == 0) {
      return 0;
    }
    last += (extents[i] - 1) * strides[i];
  }
  return last + 1;
}

const std::vector<StridedCase>& cases() {
  static const std::vector<StridedCase> list = {
      {"one element", {}, {}, {}},
      {"nothing", {3, 0, 2}, {0, 2, 1}, {0, 2, 1}},
      {"dense", {3, 40000}, {40000, 1}, {40000, 1}},
      {"NHWC to NCHW", {2, 6, 143}, {858, 1, 6}, {858, 143, 1}},
      {"NCHW to NHWC", {2, 143, 6}, {858, 1, 143}, {858, 6, 1}},
      {"whole tiles", {3, 64, 96}, {6144, 1, 64}, {6144, 96, 1}},
      {"even, to be copied by pairs", {6, 4, 10}, {80, 20, 1}, {60, 14, 1}},
      {"by sixteens, repeated", {3, 2, 48}, {64, 0, 1}, {160, 64, 1}},
      {"three channels to planes", {2, 3, 5000}, {15000, 1, 3}, {15000, 5000, 1}},
      {"three planes to channels", {2, 5000, 3}, {15000, 1, 5000}, {15000, 3, 1}},
      {"two planes to channels", {3001, 2}, {1, 3001}, {2, 1}},
      {"batches of transpositions", {3, 2, 40, 33}, {7920, 1320, 1, 40}, {2640, 1320, 33, 1}},
      {"part tiles", {3, 71, 101}, {7171, 1, 71}, {7171, 101, 1}},
      {"long and thin", {3, 40001}, {1, 3}, {40001, 1}},
      {"whole order reversed", {5, 4, 3, 2}, {1, 5, 20, 60}, {24, 6, 2, 1}},
      {"fastest axis moved to the middle", {4, 9, 5, 7}, {315, 1, 63, 9}, {315, 35, 7, 1}},
      {"fastest axis moved to the front", {9, 4, 5, 7}, {1, 315, 63, 9}, {140, 35, 7, 1}},
      {"channels of a slice", {700, 3}, {7, 1}, {3, 1}},
      {"into channels of a concatenation", {700, 3}, {3, 1}, {7, 1}},
      {"long rows into a concatenation", {3, 20000}, {20000, 1}, {20007, 1}},
      {"every third", {100, 34}, {102, 3}, {34, 1}},
      {"spread by three", {100, 34}, {34, 1}, {102, 3}},
      {"long spread by three", {2, 20000}, {20000, 1}, {60000, 3}},
      {"last axis repeated", {50, 9}, {1, 0}, {9, 1}},
      {"first axis repeated", {50, 9}, {0, 1}, {9, 1}},
      {"long repeated", {2, 40000}, {1, 0}, {40000, 1}},
      {"nearest upsampling", {2, 3, 2, 5, 2, 4}, {60, 20, 0, 4, 0, 1}, {240, 80, 40, 8, 4, 1}},
      {"inside of a padding", {2, 3, 4, 5}, {60, 20, 5, 1}, {400, 50, 7, 1}},
      {"eight axes",
       {2, 2, 2, 2, 2, 2, 2, 3},
       {1, 2, 4, 8, 16, 32, 64, 128},
       {192, 96, 48, 24, 12, 6, 3, 1}},
  };
  return list;
}

template <class T>
void check_case(const StridedCase& c) {
  CAPTURE(std::string(c.what));
  CAPTURE(print_extents(c.extents));
  const std::int64_t source_count = elements_spanned(c.extents, c.source);
  const std::int64_t target_count = elements_spanned(c.extents, c.target);
  // Numbers that no element of the poisoned target has.
  std::vector<T> source;
  for (std::int64_t i = 0; i < source_count; ++i) {
    source.push_back(static_cast<T>(i % 250));
  }
  std::vector<T> expected(static_cast<std::size_t>(target_count), static_cast<T>(-1));
  const std::int64_t count =
      std::accumulate(c.extents.begin(), c.extents.end(), std::int64_t{1}, std::multiplies<>());
  for (std::int64_t flat = 0; flat < count; ++flat) {
    std::int64_t rest = flat;
    std::int64_t from = 0;
    std::int64_t to = 0;
    for (std::size_t i = c.extents.size(); i-- > 0;) {
      from += rest % c.extents[i] * c.source[i];
      to += rest % c.extents[i] * c.target[i];
      rest /= c.extents[i];
    }
    expected[static_cast<std::size_t>(to)] = source[static_cast<std::size_t>(from)];
  }
  const CopyProblem problem = make_copy(c.extents, c.source, c.target);
  const auto target = testing::run_kernel<T>(target_count, [&](T* out) {
    target::strided_copy(problem, sizeof(T), testing::on_device(source), out);
  });
  CHECK(target == expected);
}

TEST_CASE_TEMPLATE("strided_copy: every pattern and element size, gaps untouched", T, std::uint8_t,
                   std::uint16_t, std::uint32_t, std::uint64_t) {
  for (const StridedCase& c : cases()) {
    check_case<T>(c);
  }
}

TEST_CASE("make_copy joins axes and refuses what does not fit") {
  const CopyProblem dense = make_copy(Extents{2, 3, 4}, Extents{12, 4, 1}, Extents{12, 4, 1});
  CHECK(dense.rank == 1);
  CHECK(dense.extents[0] == 24);
  const CopyProblem nchw =
      make_copy(Extents{2, 3, 4, 5}, Extents{60, 1, 15, 3}, Extents{60, 20, 5, 1});
  CHECK(nchw.rank == 3);
  CHECK(nchw.extents[2] == 20);
  CHECK_THROWS_AS(make_copy(Extents{2}, Extents{1, 1}, Extents{1}), ShapeError);
  CHECK_THROWS_AS(make_copy(Extents(9, 1), Extents(9, 1), Extents(9, 1)), ShapeError);
  char byte = 0;
  CHECK_THROWS_AS(target::strided_copy(dense, 3, &byte, &byte), Error);
}

}  // namespace
}  // namespace cks::kernels
