#include "cks/kernels/gemm/gemm.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using cks::dtype_of;
using cks::kernels::GemmProblem;
using cks::testing::compare;
using cks::testing::kTestsCuda;
using cks::testing::on_device;
using cks::testing::random_integer;
using cks::testing::random_real;
using cks::testing::run_kernel;
using cks::testing::TargetBuffer;

namespace target = cks::kernels::target;

namespace {

struct Sizes {
  std::int64_t M, N, K;
};

// Odd sizes, single rows and columns, LeNet's layers, several tiles each way, and sliced K.
const std::vector<Sizes> kSizes{{1, 1, 1},      {3, 5, 7},       {1, 17, 33},    {33, 1, 65},
                                {2, 3, 1},      {128, 120, 400}, {128, 10, 84},  {120, 400, 128},
                                {129, 257, 31}, {130, 515, 70},  {10, 84, 5000}, {7, 9, 12345},
                                {300, 3, 2048}};

/// Enough tiles for the GPU's larger ones.
const std::vector<Sizes> kLargeSizes{{769, 705, 37}, {1500, 1410, 7}};

struct Operands {
  std::vector<double> a, b, bias;  // a [M,K], b [K,N]
};

Operands make_operands(const Sizes& s, bool integers) {
  Operands operands;
  const auto number = [&](std::uint64_t seed, std::size_t i) {
    return integers ? static_cast<double>(random_integer(seed, i, -2, 2)) : random_real(seed, i);
  };
  for (std::int64_t i = 0; i < s.M * s.K; ++i) {
    operands.a.push_back(number(1, static_cast<std::size_t>(i)));
  }
  for (std::int64_t i = 0; i < s.K * s.N; ++i) {
    operands.b.push_back(number(2, static_cast<std::size_t>(i)));
  }
  for (std::int64_t i = 0; i < s.N; ++i) {
    operands.bias.push_back(number(3, static_cast<std::size_t>(i)));
  }
  return operands;
}

std::vector<double> naive(const Sizes& s, const Operands& operands, bool with_bias) {
  std::vector<double> c;
  for (std::int64_t m = 0; m < s.M; ++m) {
    for (std::int64_t n = 0; n < s.N; ++n) {
      double sum = with_bias ? operands.bias[static_cast<std::size_t>(n)] : 0.0;
      for (std::int64_t k = 0; k < s.K; ++k) {
        sum += operands.a[static_cast<std::size_t>(m * s.K + k)] *
               operands.b[static_cast<std::size_t>(k * s.N + n)];
      }
      c.push_back(sum);
    }
  }
  return c;
}

/// A matrix stored with a leading dimension, transposed or not; gaps between rows hold NaN.
template <class T>
std::vector<T> stored(const std::vector<double>& matrix, std::int64_t rows, std::int64_t columns,
                      bool transpose, std::int64_t gap) {
  const std::int64_t lines = transpose ? columns : rows;
  const std::int64_t length = transpose ? rows : columns;
  std::vector<T> result(static_cast<std::size_t>(lines * (length + gap)),
                        std::numeric_limits<T>::quiet_NaN());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t line = transpose ? c : r;
      const std::int64_t at = transpose ? r : c;
      result[static_cast<std::size_t>(line * (length + gap) + at)] =
          static_cast<T>(matrix[static_cast<std::size_t>(r * columns + c)]);
    }
  }
  return result;
}

template <class T>
std::vector<T> run(const Sizes& s, const Operands& operands, bool ta, bool tb, bool with_bias,
                   std::int64_t gap) {
  GemmProblem problem{s.M, s.N, s.K, ta, tb, dtype_of<T>()};
  if (gap != 0) {
    problem.lda = (ta ? s.M : s.K) + gap;
    problem.ldb = (tb ? s.K : s.N) + gap;
    problem.ldc = s.N + gap;
  }
  const std::vector<T> a = stored<T>(operands.a, s.M, s.K, ta, gap);
  const std::vector<T> b = stored<T>(operands.b, s.K, s.N, tb, gap);
  const std::vector<T> bias = stored<T>(operands.bias, 1, s.N, false, 0);
  const std::int64_t ldc = s.N + gap;
  const std::size_t bytes = target::gemm_workspace_bytes(problem);
  const std::vector<T> c = run_kernel<T>(s.M * ldc, [&](T* out) {
    TargetBuffer workspace(bytes);
    const auto product = [&](const T* bias_or_null) {
      target::gemm(problem, on_device(a), on_device(b), {.bias = bias_or_null}, out,
                   workspace.data());
    };
    if (with_bias) {
      product(on_device(bias));
    } else {
      product(nullptr);
    }
    CHECK(workspace.intact());
  });
  std::vector<T> result;
  for (std::int64_t m = 0; m < s.M; ++m) {
    const T* row = c.data() + m * ldc;
    result.insert(result.end(), row, row + s.N);
    for (std::int64_t n = s.N; n < ldc; ++n) {
      CHECK(std::isnan(row[n]));  // between the rows nothing is written
    }
  }
  return result;
}

template <class T>
void check_sizes(const std::vector<Sizes>& sizes, double epsilon) {
  for (const Sizes& s : sizes) {
    const Operands operands = make_operands(s, false);
    const Operands integers = make_operands(s, true);
    // Each of K additions rounds a partial sum, which grows as sqrt(K).
    const cks::testing::Tolerance tolerance{.absolute = epsilon * (8.0 + static_cast<double>(s.K)),
                                            .relative_l2 = 100.0 * epsilon};
    for (int form = 0; form < 8; ++form) {
      const bool ta = (form & 1) != 0;
      const bool tb = (form & 2) != 0;
      const bool with_bias = (form & 4) != 0;
      CAPTURE(s.M);
      CAPTURE(s.N);
      CAPTURE(s.K);
      CAPTURE(form);
      const std::int64_t gap = form % 3;
      const auto real = compare(run<T>(s, operands, ta, tb, with_bias, gap),
                                naive(s, operands, with_bias), tolerance);
      CHECK_MESSAGE(real.ok, real.message);
      const auto exact =
          compare(run<T>(s, integers, ta, tb, with_bias, gap), naive(s, integers, with_bias));
      CHECK_MESSAGE(exact.ok, exact.message);
    }
  }
}

template <class T>
void check_all(double epsilon) {
  check_sizes<T>(kSizes, epsilon);
  if (kTestsCuda) {
    check_sizes<T>(kLargeSizes, epsilon);
  }
}

}  // namespace

TEST_CASE("small: gemm in every form, one with a long K") {
  check_sizes<float>({{33, 70, 40}, {10, 12, 5000}}, 1.2e-7);
  check_sizes<double>({{33, 70, 40}}, 2.3e-16);
}

TEST_CASE("gemm: float64 equals the naive product in every form") { check_all<double>(2.3e-16); }

TEST_CASE("gemm: float32 equals the naive product in every form") { check_all<float>(1.2e-7); }

TEST_CASE("gemm: a long K is cut into slices, and only then a workspace is needed") {
  CHECK(target::gemm_workspace_bytes({10, 84, 5000}) > 0);
  CHECK(target::gemm_workspace_bytes({128, 120, 400}) == 0);
  CHECK(target::gemm_workspace_bytes({0, 10, 5000}) == 0);
}

TEST_CASE("gemm: no depth leaves the bias, no rows write nothing") {
  const std::vector<float> bias{1.0F, 2.0F};
  const auto biased = run_kernel<float>(6, [&](float* c) {
    target::gemm({3, 2, 0}, nullptr, nullptr, {.bias = on_device(bias)}, c, nullptr);
  });
  CHECK(biased == std::vector<float>{1, 2, 1, 2, 1, 2});
  const auto zeros = run_kernel<float>(6, [&](float* c) {
    target::gemm({3, 2, 0}, nullptr, nullptr, {}, c, nullptr);
  });
  CHECK(zeros == std::vector<float>(6, 0.0F));
  const std::vector<float> b(8, 1.0F);
  run_kernel<float>(0, [&](float* c) {
    target::gemm({0, 2, 4}, nullptr, on_device(b), {.bias = on_device(bias)}, c, nullptr);
  });
}

TEST_CASE("gemm: NaN reaches exactly the row and column it belongs to") {
  const Sizes s{40, 70, 50};
  Operands operands = make_operands(s, false);
  operands.a[static_cast<std::size_t>(7 * s.K + 3)] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> c = run<float>(s, operands, false, false, false, 0);
  for (std::int64_t m = 0; m < s.M; ++m) {
    for (std::int64_t n = 0; n < s.N; ++n) {
      REQUIRE(std::isnan(c[static_cast<std::size_t>(m * s.N + n)]) == (m == 7));
    }
  }
}

TEST_CASE("gemm: integers are refused") {
  CHECK_THROWS_WITH_AS(target::gemm_workspace_bytes({1, 1, 1, false, false, cks::DType::int32}),
                       "gemm: takes float32 or float64, got int32", cks::DtypeError);
}

TEST_CASE("gemm: scale and shift, residual and ReLU") {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.M);
    CAPTURE(s.N);
    CAPTURE(s.K);
    const Operands operands = make_operands(s, true);
    const std::vector<float> a(operands.a.begin(), operands.a.end());
    const std::vector<float> b(operands.b.begin(), operands.b.end());
    const std::vector<float> bias(operands.bias.begin(), operands.bias.end());
    std::vector<float> residual;
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.M * s.N); ++i) {
      residual.push_back(static_cast<float>(random_integer(4, i, -2, 2)));
    }
    std::vector<double> expected = naive(s, operands, true);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::size_t column = i % static_cast<std::size_t>(s.N);
      double& v = expected[i];
      v = v * operands.bias[column] + operands.bias[column] + static_cast<double>(residual[i]);
      v = v < 0.0 ? 0.0 : v;
    }
    const GemmProblem problem{s.M, s.N, s.K};
    const std::vector<float> c = run_kernel<float>(s.M * s.N, [&](float* out) {
      TargetBuffer workspace(target::gemm_workspace_bytes(problem));
      const auto call = [&](const float* left, const float* right, const float* each,
                            const float* added) {
        target::gemm(
            problem, left, right,
            {.bias = each, .scale = each, .shift = each, .residual = added, .negative_slope = 0.0},
            out, workspace.data());
      };
      call(on_device(a), on_device(b), on_device(bias), on_device(residual));
    });
    const auto same = compare(c, {s.M, s.N}, expected, {s.M, s.N});
    CHECK_MESSAGE(same.ok, same.message);
  }
}
