#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cks/kernels/elementwise/elementwise.h"
#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

std::int64_t count_of(const Extents& extents) {
  std::int64_t count = 1;
  for (const std::int64_t extent : extents) {
    count *= extent;
  }
  return count;
}

BroadcastProblem problem_of(const Extents& result, const std::vector<Extents>& operands) {
  std::vector<std::span<const std::int64_t>> spans(operands.begin(), operands.end());
  return make_broadcast(result, spans);
}

// Flat index in an operand of the element that element `flat` of the result reads.
std::size_t operand_index(std::int64_t flat, const Extents& result, const Extents& operand) {
  std::int64_t index = 0;
  std::int64_t step = 1;
  for (std::size_t i = 1; i <= result.size(); ++i) {
    const std::int64_t at = flat % result[result.size() - i];
    flat /= result[result.size() - i];
    if (i <= operand.size()) {
      const std::int64_t extent = operand[operand.size() - i];
      index += extent == 1 ? 0 : at * step;
      step *= extent;
    }
  }
  return static_cast<std::size_t>(index);
}

struct Shapes {
  Extents result, a, b;
};

const std::vector<Shapes>& shapes() {
  static const std::vector<Shapes> list = {
      {{}, {}, {}},
      {{1}, {1}, {}},
      {{5}, {5}, {}},
      {{5}, {}, {5}},
      {{40000}, {40000}, {40000}},
      {{40000}, {40000}, {1}},
      {{40000}, {1}, {40000}},
      {{0, 3}, {0, 3}, {3}},
      {{3, 0}, {3, 0}, {3, 1}},
      {{7001, 6}, {7001, 6}, {6}},  // bias of a few channels
      {{7001, 6}, {6}, {7001, 6}},
      {{3001, 64}, {3001, 64}, {64}},
      {{301, 130}, {301, 130}, {130}},  // a row longer than a pattern
      {{301, 130}, {301, 1}, {1, 130}},
      {{2, 33000}, {2, 33000}, {2, 1}},  // rows longer than a block
      {{2, 33000}, {2, 1}, {33000}},
      {{3, 5, 7}, {3, 5, 7}, {3, 1, 7}},
      {{3, 5, 7}, {1, 5, 1}, {3, 1, 7}},
      {{4, 3, 5, 2}, {4, 1, 5, 1}, {3, 1, 2}},
      {{2, 3, 1, 5, 1, 7}, {2, 1, 1, 5, 1, 1}, {3, 1, 1, 1, 7}},
      {{2, 1, 2, 1, 2, 3, 2, 2}, {2, 1, 1, 1, 2, 1, 2, 1}, {2, 1, 1, 3, 1, 2}},
  };
  return list;
}

template <class T>
T expected_value(BinaryOp op, T a, T b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::sub:
      return a - b;
    case BinaryOp::mul:
      return a * b;
    case BinaryOp::div:
      return a / b;
    case BinaryOp::maximum:
      return std::max(a, b);
    case BinaryOp::minimum:
      return std::min(a, b);
  }
  return 0;
}

constexpr BinaryOp kBinaryOps[] = {BinaryOp::add, BinaryOp::sub,     BinaryOp::mul,
                                   BinaryOp::div, BinaryOp::maximum, BinaryOp::minimum};

TEST_CASE_TEMPLATE("binary: every way to broadcast", T, float, double) {
  for (const Shapes& s : shapes()) {
    const auto a = random_values<T>(count_of(s.a), 1, -2, 2);
    const auto b = random_values<T>(count_of(s.b), 2, 0.5, 2);
    const BroadcastProblem problem = problem_of(s.result, {s.a, s.b});
    for (const BinaryOp op : kBinaryOps) {
      CAPTURE(std::string(name_of(op)));
      CAPTURE(print_extents(s.a));
      CAPTURE(print_extents(s.b));
      std::vector<T> expected;
      for (std::int64_t i = 0; i < count_of(s.result); ++i) {
        expected.push_back(expected_value(op, a[operand_index(i, s.result, s.a)],
                                          b[operand_index(i, s.result, s.b)]));
      }
      const auto y = run_kernel<T>(count_of(s.result), [&](T* out) {
        target::binary_forward(op, dtype_of<T>(), problem, on_device(a), on_device(b), out);
      });
      const auto result = compare(y, s.result, expected, s.result);
      CHECK_MESSAGE(result.ok, result.message);
    }
  }
}

TEST_CASE("binary: NaN wins in maximum and minimum, on either side") {
  const float nan = std::nanf("");
  const std::vector<float> a = {nan, 1.0F, nan, -std::numeric_limits<float>::infinity()};
  const std::vector<float> b = {1.0F, nan, nan, 2.0F};
  const BroadcastProblem problem = problem_of({4}, {{4}, {4}});
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
    const auto y = run_kernel<float>(4, [&](float* out) {
      target::binary_forward(op, DType::float32, problem, on_device(a), on_device(b), out);
    });
    CHECK(std::isnan(y[0]));
    CHECK(std::isnan(y[1]));
    CHECK(std::isnan(y[2]));
    CHECK(y[3] == (op == BinaryOp::maximum ? 2.0F : a[3]));
  }
}

TEST_CASE_TEMPLATE("compare: every dtype, with ties", T, float, double, bfloat16, std::int64_t,
                   std::int32_t, std::uint8_t) {
  for (const Shapes& s : shapes()) {
    std::vector<T> a;
    std::vector<T> b;
    for (std::int64_t i = 0; i < count_of(s.a); ++i) {
      a.push_back(static_cast<T>(static_cast<float>(testing::random_integer(1, i, 0, 3))));
    }
    for (std::int64_t i = 0; i < count_of(s.b); ++i) {
      b.push_back(static_cast<T>(static_cast<float>(testing::random_integer(2, i, 0, 3))));
    }
    const BroadcastProblem problem = problem_of(s.result, {s.a, s.b});
    const auto check = [&](CompareOp op, auto expected_of) {
      std::vector<int> expected;
      for (std::int64_t i = 0; i < count_of(s.result); ++i) {
        const auto left = static_cast<float>(a[operand_index(i, s.result, s.a)]);
        const auto right = static_cast<float>(b[operand_index(i, s.result, s.b)]);
        expected.push_back(expected_of(left, right) ? 1 : 0);
      }
      const auto y = run_kernel<std::uint8_t>(count_of(s.result), [&](std::uint8_t* out) {
        target::compare(op, dtype_of<T>(), problem, on_device(a), on_device(b), out);
      });
      const auto result = compare(y, s.result, expected, s.result);
      CHECK_MESSAGE(result.ok, result.message);
    };
    check(CompareOp::equal, [](float x, float y) { return x == y; });
    check(CompareOp::not_equal, [](float x, float y) { return x != y; });
    check(CompareOp::less, [](float x, float y) { return x < y; });
    check(CompareOp::less_equal, [](float x, float y) { return x <= y; });
    check(CompareOp::greater, [](float x, float y) { return x > y; });
    check(CompareOp::greater_equal, [](float x, float y) { return x >= y; });
  }
}

TEST_CASE("compare: int64 beyond 2^53 and NaN") {
  const BroadcastProblem problem = problem_of({}, {{}, {}});
  const auto compared = [&]<class T>(CompareOp op, T a, T b) {
    return run_kernel<std::uint8_t>(1, [&](std::uint8_t* y) {
      target::compare(op, dtype_of<T>(), problem, on_device(std::vector{a}),
                      on_device(std::vector{b}), y);
    })[0];
  };
  const std::int64_t power = std::int64_t{1} << 53;
  CHECK(compared(CompareOp::equal, power + 1, power) == 0);
  const double nan = std::nan("");
  CHECK(compared(CompareOp::equal, nan, nan) == 0);
  CHECK(compared(CompareOp::not_equal, nan, nan) == 1);
}

TEST_CASE_TEMPLATE("select: every dtype", T, float, double, bfloat16, std::int64_t, std::int32_t,
                   std::uint8_t) {
  for (const Shapes& s : shapes()) {
    // The condition broadcasts like a, and the values like b and like the result.
    std::vector<std::uint8_t> condition;
    for (std::int64_t i = 0; i < count_of(s.a); ++i) {
      condition.push_back(static_cast<std::uint8_t>(testing::random_integer(5, i, 0, 2)));
    }
    std::vector<T> left;
    std::vector<T> right;
    for (std::int64_t i = 0; i < count_of(s.b); ++i) {
      left.push_back(static_cast<T>(static_cast<float>(i % 100)));
    }
    for (std::int64_t i = 0; i < count_of(s.result); ++i) {
      right.push_back(static_cast<T>(static_cast<float>(100 + i % 100)));
    }
    std::vector<T> expected;
    for (std::int64_t i = 0; i < count_of(s.result); ++i) {
      expected.push_back(condition[operand_index(i, s.result, s.a)] != 0
                             ? left[operand_index(i, s.result, s.b)]
                             : right[static_cast<std::size_t>(i)]);
    }
    const BroadcastProblem problem = problem_of(s.result, {s.a, s.b, s.result});
    const auto y = run_kernel<T>(count_of(s.result), [&](T* out) {
      target::select(dtype_of<T>(), problem, on_device(condition), on_device(left),
                     on_device(right), out);
    });
    const auto result = compare(y, s.result, expected, s.result);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("ternary: steps of gradients") {
  const double nan = std::nan("");
  const BroadcastProblem problem = problem_of({5}, {{5}, {5}, {5}});
  const std::vector<double> dy = {2.0, 2.0, 2.0, 2.0, 2.0};
  const std::vector<double> x = {1.0, 3.0, 2.0, nan, nan};
  const std::vector<double> y = {2.0, 2.0, 2.0, 1.0, nan};
  const auto result = [&](TernaryOp op, const std::vector<double>& a, const std::vector<double>& b,
                          const std::vector<double>& c, std::size_t count) {
    auto out = run_kernel<double>(5, [&](double* to) {
      target::ternary(op, DType::float64, problem, on_device(a), on_device(b), on_device(c), to);
    });
    out.resize(count);
    return out;
  };
  using Values = std::vector<double>;
  CHECK(result(TernaryOp::maximum_grad, dy, x, y, 3) == Values{0.0, 2.0, 1.0});
  CHECK(result(TernaryOp::minimum_grad, dy, x, y, 3) == Values{2.0, 0.0, 1.0});
  CHECK(result(TernaryOp::div_grad, dy, x, y, 3) == Values{-0.5, -1.5, -1.0});
  CHECK(result(TernaryOp::if_equal, x, y, dy, 5) == Values{0.0, 0.0, 2.0, 0.0, 2.0});
}

TEST_CASE_TEMPLATE("ternary: the gradient of a quotient leaves the range only where it must", T,
                   float, double) {
  // Powers of two, so that every value is exact; y * y, dy * x or a quotient would not be finite.
  const int far = std::is_same_v<T, float> ? 100 : 900;
  const auto power = [&](int exponent) { return std::ldexp(T(1), exponent); };
  const std::vector<T> dy = {1, 1, 1, 0, power(far), 3};
  const std::vector<T> x = {power(-far), power(far), 0, power(-far), power(far), 5};
  const std::vector<T> y = {power(-far), power(far), power(-far), power(-far), power(far), 0};
  const std::vector<T> expected = {-power(far), -power(-far), 0,
                                   0,           -1,           -std::numeric_limits<T>::infinity()};
  const BroadcastProblem problem = problem_of({6}, {{6}, {6}, {6}});
  const auto got = run_kernel<T>(6, [&](T* out) {
    target::ternary(TernaryOp::div_grad, dtype_of<T>(), problem, on_device(dy), on_device(x),
                    on_device(y), out);
  });
  CHECK(got == expected);
}

TEST_CASE("make_broadcast joins axes and refuses what does not fit") {
  const BroadcastProblem same = problem_of({2, 3, 4}, {{2, 3, 4}, {2, 3, 4}});
  CHECK(same.rank == 1);
  CHECK(same.extents[0] == 24);
  const BroadcastProblem bias = problem_of({2, 3, 4}, {{2, 3, 4}, {4}});
  CHECK(bias.rank == 2);
  CHECK(bias.extents[0] == 6);
  CHECK(bias.strides[1][0] == 0);
  CHECK_THROWS_WITH_AS(problem_of({2, 3}, {{2, 2}}),
                       "broadcast: an operand [2,2] does not fit the result [2,3]", ShapeError);
  CHECK_THROWS_AS(problem_of({3}, {{1, 3}}), ShapeError);
  CHECK_THROWS_AS(problem_of({1, 1, 1, 1, 1, 1, 1, 1, 1}, {{1}}), ShapeError);
  CHECK_THROWS_AS(problem_of({1}, {{1}, {1}, {1}, {1}}), ShapeError);
}

}  // namespace
}  // namespace cks::kernels
