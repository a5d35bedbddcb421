#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cks/kernels/common/parallel_for.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"

using cks::kernels::SoftmaxProblem;
using cks::testing::compare;
using cks::testing::GuardedBuffer;
using cks::testing::random_integer;
using cks::testing::random_real;

namespace cpu = cks::kernels::cpu;

namespace {

template <class T>
std::vector<T> values(const SoftmaxProblem& p, std::uint64_t seed, double scale) {
  std::vector<T> result;
  for (std::int64_t i = 0; i < p.rows * p.C; ++i) {
    result.push_back(static_cast<T>(scale * random_real(seed, static_cast<std::uint64_t>(i))));
  }
  return result;
}

std::vector<std::int64_t> labels_of(const SoftmaxProblem& p) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < p.rows; ++i) {
    labels.push_back(random_integer(9, static_cast<std::uint64_t>(i), 0, p.C - 1));
  }
  return labels;
}

/// Softmax in long double, without the shift by the largest element.
template <class T>
std::vector<double> naive_softmax(const SoftmaxProblem& p, const std::vector<T>& x,
                                  bool logarithm) {
  std::vector<double> result;
  for (std::int64_t r = 0; r < p.rows; ++r) {
    long double sum = 0.0L;
    for (std::int64_t c = 0; c < p.C; ++c) {
      sum += std::exp(static_cast<long double>(x[static_cast<std::size_t>(r * p.C + c)]));
    }
    for (std::int64_t c = 0; c < p.C; ++c) {
      const auto value = static_cast<long double>(x[static_cast<std::size_t>(r * p.C + c)]);
      result.push_back(
          static_cast<double>(logarithm ? value - std::log(sum) : std::exp(value) / sum));
    }
  }
  return result;
}

template <class T, class Call>
std::vector<T> poisoned(std::size_t count, Call&& call) {
  GuardedBuffer buffer(count * sizeof(T));
  call(buffer.as<T>());
  CHECK(buffer.intact());
  return std::vector<T>(buffer.as<T>(), buffer.as<T>() + count);
}

template <class T>
void check(std::int64_t rows, std::int64_t C, double tolerance) {
  CAPTURE(rows);
  CAPTURE(C);
  const SoftmaxProblem p{rows, C, cks::dtype_of<T>()};
  const std::vector<T> x = values<T>(p, 1, 5.0);
  const std::vector<T> dy = values<T>(p, 2, 1.0);
  const std::vector<double> probabilities = naive_softmax(p, x, false);
  const std::vector<double> logarithms = naive_softmax(p, x, true);
  const auto soft = poisoned<T>(x.size(), [&](T* y) { cpu::softmax_forward(p, x.data(), y); });
  const auto log_soft =
      poisoned<T>(x.size(), [&](T* y) { cpu::log_softmax_forward(p, x.data(), y); });
  const auto equal = [&](const std::string& what, const auto& got, const auto& expected,
                         double bound) {
    const auto result = compare(got, expected, {.absolute = bound});
    CHECK_MESSAGE(result.ok, what, ": ", result.message);
  };
  equal("softmax", soft, probabilities, tolerance);
  equal("log_softmax", log_soft, logarithms, 16.0 * tolerance);

  std::vector<double> soft_gradient(x.size());
  std::vector<double> log_gradient(x.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0.0;
    double weighted = 0.0;
    for (std::int64_t c = 0; c < C; ++c) {
      const auto i = static_cast<std::size_t>(r * C + c);
      sum += static_cast<double>(dy[i]);
      weighted += static_cast<double>(dy[i]) * probabilities[i];
    }
    for (std::int64_t c = 0; c < C; ++c) {
      const auto i = static_cast<std::size_t>(r * C + c);
      soft_gradient[i] = probabilities[i] * (static_cast<double>(dy[i]) - weighted);
      log_gradient[i] = static_cast<double>(dy[i]) - probabilities[i] * sum;
    }
  }
  const double wide = tolerance * (4.0 + static_cast<double>(C));
  equal("softmax gradient",
        poisoned<T>(x.size(), [&](T* dx) { cpu::softmax_backward(p, soft.data(), dy.data(), dx); }),
        soft_gradient, wide);
  equal("log_softmax gradient",
        poisoned<T>(x.size(),
                    [&](T* dx) { cpu::log_softmax_backward(p, log_soft.data(), dy.data(), dx); }),
        log_gradient, wide);

  const std::vector<std::int64_t> labels = labels_of(p);
  for (const double smoothing : {0.0, 0.1, 1.0}) {
    long double loss = 0.0L;
    std::vector<double> gradient(x.size());
    const T grad_loss{3};
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < C; ++c) {
        const auto i = static_cast<std::size_t>(r * C + c);
        const double hit = c == labels[static_cast<std::size_t>(r)] ? 1.0 : 0.0;
        const double target = (1.0 - smoothing) * hit + smoothing / static_cast<double>(C);
        loss -= static_cast<long double>(target) * logarithms[i] / static_cast<long double>(rows);
        gradient[i] = 3.0 * (probabilities[i] - target) / static_cast<double>(rows);
      }
    }
    GuardedBuffer workspace(cks::kernels::cross_entropy_workspace_bytes(p));
    const auto got = poisoned<T>(1, [&](T* out) {
      cpu::cross_entropy_forward(p, smoothing, log_soft.data(), labels.data(), out,
                                 workspace.data());
    });
    CHECK(workspace.intact());
    equal("loss", got, std::vector<double>{static_cast<double>(loss)},
          tolerance * (64.0 + static_cast<double>(C)));
    equal("loss gradient",
          poisoned<T>(x.size(),
                      [&](T* dx) {
                        cpu::cross_entropy_backward(p, smoothing, log_soft.data(), labels.data(),
                                                    &grad_loss, dx);
                      }),
          gradient, 8.0 * tolerance);
  }
}

}  // namespace

TEST_CASE("softmax and cross_entropy equal the formulas") {
  for (const std::int64_t C : {1, 2, 10, 33, 1000}) {
    for (const std::int64_t rows : {1, 3, 130}) {
      check<float>(rows, C, 3e-7);
      check<double>(rows, C, 1e-15);
    }
  }
}

TEST_CASE("softmax: large numbers do not overflow, -infinity excludes a class") {
  const double low = -std::numeric_limits<double>::infinity();
  const std::vector<double> x{1000.0, 999.0, low, -1e308, 0.0, 1e308};
  const SoftmaxProblem p{2, 3, cks::DType::float64};
  std::vector<double> y(6);
  std::vector<double> log_y(6);
  cpu::softmax_forward(p, x.data(), y.data());
  cpu::log_softmax_forward(p, x.data(), log_y.data());
  CHECK(y[0] == doctest::Approx(1.0 / (1.0 + std::exp(-1.0))));
  CHECK(y[2] == 0.0);
  CHECK(y[5] == 1.0);
  CHECK(log_y[2] == low);
  CHECK(log_y[5] == 0.0);
  // The excluded class does not poison the loss unless smoothing gives it a share.
  const std::vector<std::int64_t> labels{0, 2};
  std::vector<double> workspace(2);
  double loss = 0.0;
  cpu::cross_entropy_forward(p, 0.0, log_y.data(), labels.data(), &loss, workspace.data());
  CHECK(loss == doctest::Approx(std::log(1.0 + std::exp(-1.0)) / 2.0));
  cpu::cross_entropy_forward(p, 0.1, log_y.data(), labels.data(), &loss, workspace.data());
  CHECK(loss == std::numeric_limits<double>::infinity());
}

TEST_CASE("softmax: a NaN fills its row and no other") {
  const SoftmaxProblem p{3, 4, cks::DType::float32};
  for (const std::size_t at : {std::size_t{4}, std::size_t{6}}) {
    std::vector<float> x(12, 1.0F);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> y(12);
    cpu::log_softmax_forward(p, x.data(), y.data());
    for (std::size_t i = 0; i < 12; ++i) {
      CHECK(std::isnan(y[i]) == (i / 4 == 1));
    }
  }
}

TEST_CASE("softmax and cross_entropy: the number of threads leaves the bits alone") {
  const int before = cks::kernels::num_threads();
  const SoftmaxProblem p{5000, 10, cks::DType::float32};
  const auto x = values<float>(p, 1, 3.0);
  const auto labels = labels_of(p);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 5}) {
    cks::kernels::set_num_threads(threads);
    std::vector<float> y(2 * x.size() + 1);
    std::vector<double> workspace(5000);
    const float one = 1.0F;
    cpu::log_softmax_forward(p, x.data(), y.data());
    cpu::cross_entropy_forward(p, 0.1, y.data(), labels.data(), &y.back(), workspace.data());
    cpu::cross_entropy_backward(p, 0.1, y.data(), labels.data(), &one, y.data() + x.size());
    results.push_back(y);
  }
  cks::kernels::set_num_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}
