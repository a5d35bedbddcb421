#include "cks/kernels/reduce/reduce.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

struct Extent {
  std::int64_t outer, count, inner;
};

// Each way to cut: short and long runs, few and many columns, one and several partial results.
const std::vector<Extent>& extents() {
  static const std::vector<Extent> list = {
      {1, 1, 1},      {1, 0, 1},      {0, 5, 3},      {3, 0, 5},     {3, 5, 0},     {1, 7, 1},
      {1, 255, 1},    {1, 256, 1},    {1, 300001, 1}, {5, 70001, 1}, {1000, 10, 1}, {77, 1000, 1},
      {1, 40001, 6},  {1, 20011, 16}, {1, 5003, 100}, {3, 20011, 7}, {128, 49, 32}, {1, 600, 1025},
      {2, 300, 2050}, {2, 3, 70001},  {1, 1, 9},      {9, 1, 1},     {1, 128, 10},  {1, 1500, 2048},
      {1, 73728, 6},  {2000, 300, 2}, {3, 40004, 1},
  };
  return list;
}

template <class T>
std::vector<T> reduced(ReduceOp op, const ReduceProblem& problem, double scale,
                       const std::vector<T>& x) {
  return run_kernel<T>(problem.outer * problem.inner, [&](T* out) {
    testing::TargetBuffer workspace(target::reduce_workspace_bytes(problem));
    target::reduce(op, problem, scale, on_device(x), out, workspace.data());
    REQUIRE(workspace.intact());
  });
}

TEST_CASE_TEMPLATE("reduce: sums against naive float64 loops", T, float, double) {
  for (const Extent& e : extents()) {
    CAPTURE(e.outer);
    CAPTURE(e.count);
    CAPTURE(e.inner);
    const ReduceProblem problem{e.outer, e.count, e.inner, dtype_of<T>()};
    const auto x = random_values<T>(e.outer * e.count * e.inner, 1);
    std::vector<double> expected(static_cast<std::size_t>(e.outer * e.inner), 0.0);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      expected[static_cast<std::size_t>(at / e.inner / e.count * e.inner + at % e.inner)] +=
          0.5 * static_cast<double>(x[i]);
    }
    const auto y = reduced(ReduceOp::sum, problem, 0.5, x);
    // Accumulated in float64 and rounded once: half a unit in the last place of the result.
    const double rounding = static_cast<double>(std::numeric_limits<T>::epsilon());
    double largest = 1.0;
    for (const double value : expected) {
      largest = std::max(largest, std::abs(value));
    }
    const double float64_error = 1e-15 * std::sqrt(static_cast<double>(e.count) + 1.0) * 10.0;
    const auto result = compare(y, expected, {largest * rounding + float64_error});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("reduce: sums of small integers are exact") {
  for (const Extent& e : extents()) {
    const ReduceProblem problem{e.outer, e.count, e.inner, DType::float32};
    std::vector<float> x;
    std::vector<std::int64_t> expected(static_cast<std::size_t>(e.outer * e.inner), 0);
    for (std::int64_t i = 0; i < e.outer * e.count * e.inner; ++i) {
      const std::int64_t value = random_integer(1, static_cast<std::uint64_t>(i), -8, 8);
      x.push_back(static_cast<float>(value));
      expected[static_cast<std::size_t>(i / e.inner / e.count * e.inner + i % e.inner)] += value;
    }
    const auto result = compare(reduced(ReduceOp::sum, problem, 1.0, x), expected);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("reduce: a result of another type is the sum in float64, rounded once") {
  const std::vector<float> x = {2e38F, 1.0F, 2e38F, 2.0F, 2e38F, 3.0F};
  const std::vector<double> sums = run_kernel<double>(2, [&](double* out) {
    target::reduce(ReduceOp::sum, {1, 3, 2, DType::float32, DType::float64}, 1.0, on_device(x), out,
                   nullptr);
  });
  CHECK(sums == std::vector<double>{3.0 * static_cast<double>(2e38F), 6.0});
  const std::vector<float> mean = run_kernel<float>(1, [&](float* out) {
    target::reduce(ReduceOp::sum, {1, 2, 1, DType::float64, DType::float32}, 1.0 / 6.0,
                   on_device(sums), out, nullptr);
  });
  CHECK(mean[0] == 1e38F);
}

TEST_CASE("reduce: a million tenths in float32") {
  const ReduceProblem problem{1, 1000000, 1, DType::float32};
  const std::vector<float> x(1000000, 0.1F);
  const auto y = reduced(ReduceOp::sum, problem, 1.0, x);
  CHECK(y[0] == static_cast<float>(1000000.0 * static_cast<double>(0.1F)));
}

TEST_CASE_TEMPLATE("reduce: greatest elements and their places", T, float, double) {
  for (const Extent& e : extents()) {
    if (e.count == 0) {
      continue;
    }
    CAPTURE(e.outer);
    CAPTURE(e.count);
    CAPTURE(e.inner);
    const ReduceProblem problem{e.outer, e.count, e.inner, dtype_of<T>()};
    // Few distinct values, so that there are ties, all of them negative.
    std::vector<T> x;
    for (std::int64_t i = 0; i < e.outer * e.count * e.inner; ++i) {
      x.push_back(static_cast<T>(random_integer(1, static_cast<std::uint64_t>(i), -99, -1)));
    }
    std::vector<T> expected;
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < e.outer * e.inner; ++i) {
      std::int64_t best = 0;
      const auto at = [&](std::int64_t k) {
        return x[static_cast<std::size_t>((i / e.inner * e.count + k) * e.inner + i % e.inner)];
      };
      for (std::int64_t k = 1; k < e.count; ++k) {
        best = at(k) > at(best) ? k : best;
      }
      expected.push_back(at(best));
      places.push_back(best);
    }
    const auto greatest = compare(reduced(ReduceOp::max, problem, 1.0, x), expected);
    CHECK_MESSAGE(greatest.ok, greatest.message);
    const auto indices = run_kernel<std::int64_t>(
        e.outer * e.inner, [&](std::int64_t* out) { target::argmax(problem, on_device(x), out); });
    const auto result = compare(indices, places);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("reduce: NaN and infinity") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const std::int64_t count : {3, 300, 200000}) {
    for (const std::int64_t inner : {1, 5}) {
      const ReduceProblem problem{1, count, inner, DType::float32};
      auto x = random_values<float>(count * inner, 1);
      x[static_cast<std::size_t>((count - 2) * inner)] = std::nanf("");
      x[static_cast<std::size_t>((count - 1) * inner)] = inf;
      CHECK(std::isnan(reduced(ReduceOp::max, problem, 1.0, x)[0]));
      CHECK(std::isnan(reduced(ReduceOp::sum, problem, 1.0, x)[0]));
      const auto place = run_kernel<std::int64_t>(
          inner, [&](std::int64_t* out) { target::argmax(problem, on_device(x), out); });
      CHECK(place[0] == count - 2);
      x[static_cast<std::size_t>((count - 2) * inner)] = 0.0F;
      CHECK(reduced(ReduceOp::max, problem, 1.0, x)[0] == inf);
      CHECK(reduced(ReduceOp::sum, problem, 1.0, x)[0] == inf);
      if (inner > 1) {
        CHECK(std::isfinite(reduced(ReduceOp::max, problem, 1.0, x)[1]));
      }
    }
  }
  const ReduceProblem lowest{1, 3, 1, DType::float32};
  CHECK(reduced(ReduceOp::max, lowest, 1.0, std::vector<float>{-inf, -inf, -inf})[0] == -inf);
}

TEST_CASE("reduce: an address that is a multiple of the element's size only") {
  for (const Extent& e : {Extent{1, 1000, 8}, Extent{1, 70000, 16}, Extent{64, 128, 1},
                          Extent{1, 100001, 1}, Extent{7, 40000, 1}}) {
    CAPTURE(e.count);
    CAPTURE(e.inner);
    const ReduceProblem problem{e.outer, e.count, e.inner, DType::float32};
    std::vector<float> x;
    std::vector<std::int64_t> expected(static_cast<std::size_t>(e.outer * e.inner), 0);
    x.push_back(1e9F);  // belongs to nobody
    for (std::int64_t i = 0; i < e.outer * e.count * e.inner; ++i) {
      const std::int64_t value = random_integer(1, static_cast<std::uint64_t>(i), -8, 8);
      x.push_back(static_cast<float>(value));
      expected[static_cast<std::size_t>(i / e.inner / e.count * e.inner + i % e.inner)] += value;
    }
    const auto y = run_kernel<float>(e.outer * e.inner, [&](float* out) {
      testing::TargetBuffer workspace(target::reduce_workspace_bytes(problem));
      target::reduce(ReduceOp::sum, problem, 1.0, on_device(x) + 1, out, workspace.data());
      REQUIRE(workspace.intact());
    });
    const auto result = compare(y, expected);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("reduce: twenty runs, the same bits") {
  for (const Extent& e : {Extent{1, 73728, 6}, Extent{1, 300001, 1}, Extent{1, 20000, 64}}) {
    const ReduceProblem problem{e.outer, e.count, e.inner, DType::float64};
    const auto x = random_values<double>(e.count * e.inner, 1, 0.0, 1e9);
    const auto first = reduced(ReduceOp::sum, problem, 1.0, x);
    for (int run = 1; run < 7; ++run) {  // of three each
      CHECK(reduced(ReduceOp::sum, problem, 1.0, x) == first);
    }
  }
}

TEST_CASE_TEMPLATE("sum_of_squares", T, float, double) {
  for (const std::int64_t count : {0, 1, 63, 64, 1000, 300001}) {
    const auto x = random_values<T>(count, 1);
    long double exact = 0.0L;  // a sequential sum in float64 would err more than the kernel
    for (const T value : x) {
      exact += static_cast<long double>(value) * static_cast<long double>(value);
    }
    const auto expected = static_cast<double>(exact);
    const auto y = run_kernel<double>(1, [&](double* out) {
      testing::TargetBuffer workspace(target::sum_of_squares_workspace_bytes(count));
      target::sum_of_squares(dtype_of<T>(), count, on_device(x), out, workspace.data());
      REQUIRE(workspace.intact());
    });
    const auto result = compare(y, std::vector<double>{expected}, {1e-14 * (expected + 1.0)});
    CHECK_MESSAGE(result.ok, result.message);
  }
}

}  // namespace
}  // namespace cks::kernels
