#include "tests/support/compare.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "tests/support/fill.h"

using cks::testing::compare;
using cks::testing::Comparison;
using cks::testing::GuardedBuffer;

namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("compare: equal ranges pass exactly, across dtypes") {
  const std::vector<float> got{1.0F, -2.0F, 0.0F};
  const std::vector<double> expected{1.0, -2.0, 0.0};
  const Comparison result = compare(got, expected);
  CHECK(result.ok);
  CHECK(result.max_error == 0.0);
  CHECK(result.relative_l2 == 0.0);
  CHECK(result.message.empty());
  CHECK(compare(std::vector<float>{}, std::vector<float>{}).ok);
}

TEST_CASE("compare: NaN fails, whichever side it is on, however wide the tolerance") {
  const std::vector<float> numbers{1.0F, 2.0F};
  const std::vector<float> nan{1.0F, kNan};
  const cks::testing::Tolerance wide{kInfinity, kInfinity};
  CHECK_FALSE(compare(nan, numbers, wide).ok);
  CHECK_FALSE(compare(numbers, nan, wide).ok);
  const Comparison both = compare(nan, nan, wide);
  CHECK_FALSE(both.ok);
  CHECK(both.worst == 1);
  CHECK(contains(both.message, "1 not finite"));
}

TEST_CASE("compare: NaN fails against a NaN tolerance too") {
  CHECK_FALSE(compare(std::vector<float>{1.0F}, std::vector<float>{1.0F}, {kNan}).ok);
  CHECK_FALSE(compare(std::vector<float>{1.5F}, std::vector<float>{1.0F}, {1.0, kNan}).ok);
}

TEST_CASE("compare: infinity fails, equal infinities included") {
  const std::vector<float> infinite{1.0F, kInfinity};
  CHECK_FALSE(compare(infinite, std::vector<float>{1.0F, 2.0F}, {kInfinity}).ok);
  CHECK_FALSE(compare(infinite, infinite, {kInfinity}).ok);
}

TEST_CASE("compare: the first non-finite element is reported, not a later large error") {
  const Comparison result = compare(std::vector<float>{0.0F, kNan, 1e30F, kNan},
                                    std::vector<float>{0.0F, 0.0F, 0.0F, 0.0F});
  CHECK_FALSE(result.ok);
  CHECK(result.worst == 1);
}

TEST_CASE("compare: one bad element among many fails and is named") {
  std::vector<float> got(1000, 1.0F);
  const std::vector<float> expected(1000, 1.0F);
  got[567] = 1.5F;
  // The norm alone would pass: one element is lost in it.
  const Comparison result =
      compare(got, {10, 100}, expected, {10, 100}, {.absolute = 0.1, .relative_l2 = 0.1});
  CHECK_FALSE(result.ok);
  CHECK(result.worst == 567);
  CHECK(result.got == 1.5);
  CHECK(result.expected == 1.0);
  CHECK(result.max_error == doctest::Approx(0.5));
  CHECK(contains(result.message, "[5,67]"));
  CHECK(contains(result.message, "got 1.5, expected 1, error 0.5"));
  CHECK(contains(result.message, "1 of 1000 too far"));
  CHECK(compare(got, expected, {.absolute = 0.5}).ok);
}

TEST_CASE("compare: the relative norm has a bound of its own") {
  const std::vector<float> got(100, 1.01F);
  const std::vector<float> expected(100, 1.0F);
  CHECK(compare(got, expected, {.absolute = 0.02}).ok);
  const Comparison result = compare(got, expected, {.absolute = 0.02, .relative_l2 = 1e-3});
  CHECK_FALSE(result.ok);
  CHECK(result.relative_l2 == doctest::Approx(0.01).epsilon(1e-4));
  // Nothing relates to an expected zero: any error is infinitely large.
  CHECK_FALSE(compare(std::vector<float>{1e-9F}, std::vector<float>{0.0F},
                      {.absolute = 1.0, .relative_l2 = 1e9})
                  .ok);
}

TEST_CASE("compare: shapes and element counts must agree") {
  const std::vector<float> six(6, 0.0F);
  const Comparison shapes = compare(six, {2, 3}, six, {3, 2});
  CHECK_FALSE(shapes.ok);
  CHECK(contains(shapes.message, "[2,3]"));
  CHECK(contains(shapes.message, "[3,2]"));
  CHECK_FALSE(compare(six, std::vector<float>(5, 0.0F), {1.0}).ok);
  CHECK_FALSE(compare(six, {2, 2}, six, {2, 2}, {1.0}).ok);
}

TEST_CASE("GuardedBuffer: a write beside the payload is noticed, one inside is not") {
  GuardedBuffer buffer(10, 4);
  CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 4);
  CHECK(buffer.poisoned(0, 10));
  buffer.as<unsigned char>()[0] = 1;
  buffer.as<unsigned char>()[9] = 1;
  CHECK(buffer.intact());
  CHECK_FALSE(buffer.poisoned(0, 10));
  CHECK(buffer.poisoned(1, 9));
#if !defined(__SANITIZE_ADDRESS__)  // there the write itself stops the program
  buffer.as<unsigned char>()[10] = 0;
  CHECK_FALSE(buffer.intact());
  buffer.as<unsigned char>()[10] = 0xff;
  CHECK(buffer.intact());
  buffer.as<unsigned char>()[-1] = 0;
  CHECK_FALSE(buffer.intact());
#endif
}

TEST_CASE("GuardedBuffer: the fill is NaN in float32 and float64") {
  GuardedBuffer buffer(16);
  CHECK(std::isnan(buffer.as<float>()[0]));
  CHECK(std::isnan(buffer.as<double>()[1]));
}

TEST_CASE("fill: numbers depend on seed and index only, lie in range, and use all of it") {
  CHECK(cks::testing::random_bits(1, 2) == cks::testing::random_bits(1, 2));
  CHECK(cks::testing::random_bits(1, 2) != cks::testing::random_bits(2, 1));
  int seen[5] = {};
  double low = 1.0;
  double high = -1.0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::int64_t integer = cks::testing::random_integer(7, i, -2, 2);
    REQUIRE(integer >= -2);
    REQUIRE(integer <= 2);
    ++seen[integer + 2];
    const double real = cks::testing::random_real(7, i);
    REQUIRE(static_cast<double>(static_cast<float>(real)) == real);
    REQUIRE(real != 0.0);
    low = real < low ? real : low;
    high = real > high ? real : high;
  }
  for (const int count : seen) {
    CHECK(count > 100);
  }
  CHECK(low >= -1.0);
  CHECK(low < -0.99);
  CHECK(high < 1.0);
  CHECK(high > 0.99);
}
