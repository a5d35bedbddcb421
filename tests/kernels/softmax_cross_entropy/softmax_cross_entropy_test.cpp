#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using cks::kernels::CrossEntropyProblem;
using cks::kernels::SoftmaxProblem;

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

std::int64_t rows_that_count(const CrossEntropyProblem& p,
                             const std::vector<std::int64_t>& labels) {
  return p.rows - std::count(labels.begin(), labels.end(), p.ignored_label);
}

/// Of log-probabilities, which are logits as well.
template <class T>
T loss_of(const CrossEntropyProblem& p, const std::vector<T>& log_probabilities,
          const std::vector<std::int64_t>& labels, const std::vector<T>& weights = {}) {
  return run_kernel<T>(1, [&](T* loss) {
    TargetBuffer workspace(cks::kernels::cross_entropy_workspace_bytes(p));
    TargetBuffer count(sizeof(T));
    TargetBuffer written(log_probabilities.size() * sizeof(T));
    target::cross_entropy_forward(
        p, on_device(log_probabilities), written.data(), on_device(labels), loss, count.data(),
        workspace.data(), weights.empty() ? nullptr : static_cast<const T*>(on_device(weights)));
    CHECK(workspace.intact());
    CHECK(written.intact());
    const std::vector<T> got = read_from<T>(written);
    const std::vector<double> expected = naive_softmax(p, log_probabilities, true);
    CHECK(std::equal(got.begin(), got.end(), expected.begin(), [](T one, double other) {
      const double bound = 64.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
      const auto value = static_cast<double>(one);
      return value == other || std::abs(value - other) <= bound * (1.0 + std::abs(other));
    }));
    CHECK(count.intact());
    CHECK(read_from<T>(count)[0] == static_cast<T>(rows_that_count(p, labels)));
  })[0];
}

template <class T>
std::vector<T> loss_gradient_of(const CrossEntropyProblem& p,
                                const std::vector<T>& log_probabilities,
                                const std::vector<std::int64_t>& labels, T grad_loss,
                                const std::vector<T>& weights = {}) {
  const std::vector<T> factor{grad_loss};
  const std::vector<T> count{static_cast<T>(rows_that_count(p, labels))};
  return run_kernel<T>(p.rows * p.C, [&](T* dx) {
    target::cross_entropy_backward(
        p, on_device(log_probabilities), on_device(labels), on_device(count), on_device(factor), dx,
        weights.empty() ? nullptr : static_cast<const T*>(on_device(weights)));
  });
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
  const auto soft = run_kernel<T>(
      rows * C, [&](T* y) { target::softmax_forward(p, /*is_log=*/false, on_device(x), y); });
  const auto log_soft = run_kernel<T>(
      rows * C, [&](T* y) { target::softmax_forward(p, /*is_log=*/true, on_device(x), y); });
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
        run_kernel<T>(rows * C,
                      [&](T* dx) {
                        target::softmax_backward(p, /*is_log=*/false, on_device(soft),
                                                 on_device(dy), dx);
                      }),
        soft_gradient, wide);
  equal("log_softmax gradient",
        run_kernel<T>(rows * C,
                      [&](T* dx) {
                        target::softmax_backward(p, /*is_log=*/true, on_device(log_soft),
                                                 on_device(dy), dx);
                      }),
        log_gradient, wide);

  const std::vector<std::int64_t> valid_labels = labels_of(p);
  std::vector<T> weights;  // of classes; exact, with a zero among them
  for (std::int64_t c = 0; c < C; ++c) {
    weights.push_back(static_cast<T>(c % 5) / 2);
  }
  struct Setting {
    double smoothing;
    bool is_weighted;
    std::int64_t ignored = CrossEntropyProblem::kNoLabel;
  };
  for (const auto& [smoothing, is_weighted, ignored] : {Setting{0.0, false},
                                                        {0.1, false},
                                                        {1.0, false},
                                                        {0.0, true},
                                                        {0.1, true},
                                                        {0.0, false, C - 1},
                                                        {0.1, true, C / 2},
                                                        {0.0, false, -100}}) {
    const CrossEntropyProblem ce{p, smoothing, ignored};
    std::vector<std::int64_t> labels = valid_labels;
    if (ignored < 0 && ignored != CrossEntropyProblem::kNoLabel) {
      labels[0] = ignored;
      labels.back() = ignored;
    }
    const auto counted = static_cast<double>(rows_that_count(ce, labels));
    long double loss = 0.0L;
    std::vector<double> gradient(x.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      if (labels[static_cast<std::size_t>(r)] == ignored) {
        continue;
      }
      const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(r)]);
      const double weight = is_weighted ? static_cast<double>(weights[label]) : 1.0;
      for (std::int64_t c = 0; c < C; ++c) {
        const auto i = static_cast<std::size_t>(r * C + c);
        const double hit = c == labels[static_cast<std::size_t>(r)] ? 1.0 : 0.0;
        const double target = (1.0 - smoothing) * hit + smoothing / static_cast<double>(C);
        loss -= static_cast<long double>(weight * target) * logarithms[i] /
                static_cast<long double>(counted);
        gradient[i] = 3.0 * weight * (probabilities[i] - target) / counted;
      }
    }
    const auto used = is_weighted ? weights : std::vector<T>{};
    const T got = loss_of(ce, log_soft, labels, used);
    equal("loss", std::vector<T>{got}, std::vector<double>{static_cast<double>(loss)},
          tolerance * (64.0 + static_cast<double>(C)));
    equal("loss gradient", loss_gradient_of(ce, log_soft, labels, T{3}, used), gradient,
          16.0 * tolerance);
  }
}

}  // namespace

TEST_CASE("softmax and cross_entropy equal the formulas") {
  for (const std::int64_t C : {1, 2, 10, 33, 1000, 1100}) {
    for (const std::int64_t rows : {1, 3, 130}) {
      check<float>(rows, C, 3e-7);
      check<double>(rows, C, 1e-15);
    }
  }
}

TEST_CASE("softmax and cross_entropy: many rows") { check<float>(1030, 7, 3e-7); }

TEST_CASE("softmax: large numbers do not overflow, -infinity excludes a class") {
  const double low = -std::numeric_limits<double>::infinity();
  const std::vector<double> x{1000.0, 999.0, low, -1e308, 0.0, 1e308};
  const SoftmaxProblem p{2, 3, cks::DType::float64};
  const auto y = run_kernel<double>(
      6, [&](double* out) { target::softmax_forward(p, /*is_log=*/false, on_device(x), out); });
  const auto log_y = run_kernel<double>(
      6, [&](double* out) { target::softmax_forward(p, /*is_log=*/true, on_device(x), out); });
  CHECK(y[0] == doctest::Approx(1.0 / (1.0 + std::exp(-1.0))));
  CHECK(y[2] == 0.0);
  CHECK(y[5] == 1.0);
  CHECK(log_y[2] == low);
  CHECK(log_y[5] == 0.0);
  // The excluded class does not poison the loss unless smoothing gives it a share.
  const std::vector<std::int64_t> labels{0, 2};
  CHECK(loss_of<double>({p, 0.0}, log_y, labels) ==
        doctest::Approx(std::log(1.0 + std::exp(-1.0)) / 2.0));
  CHECK(loss_of<double>({p, 0.1}, log_y, labels) == std::numeric_limits<double>::infinity());
}

TEST_CASE("softmax: many small terms count beside a large one") {
  // One after another, float32 would lose every one of them.
  constexpr std::int64_t kSmall = 1'000'000;
  const SoftmaxProblem p{1, kSmall + 1, cks::DType::float32};
  const auto row = [&](float first, float others) {
    std::vector<float> values(static_cast<std::size_t>(p.C), others);
    values[0] = first;
    return values;
  };
  const auto run = [&](auto&& kernel) { return run_kernel<float>(p.C, kernel); };
  const auto near = [](double value) { return doctest::Approx(value).epsilon(1e-5); };
  const double sum = 1.0 + kSmall * std::exp(-17.0);
  const auto logits = row(0.0F, -17.0F);
  CHECK(run([&](float* y) {
          target::softmax_forward(p, /*is_log=*/false, on_device(logits), y);
        })[0] == near(1.0 / sum));
  CHECK(run([&](float* y) {
          target::softmax_forward(p, /*is_log=*/true, on_device(logits), y);
        })[0] == near(-std::log(sum)));

  const auto dy = row(1.0F, 0x1p-25F);  // sums to 1.0298
  const double dy_sum = 1.0 + kSmall * 0x1p-25;
  const auto y = row(0.5F, 0.5F);
  CHECK(run([&](float* dx) {
          target::softmax_backward(p, /*is_log=*/false, on_device(y), on_device(dy), dx);
        })[1] == near(0.5 * (0x1p-25 - 0.5 * dy_sum)));
  CHECK(run([&](float* dx) {
          target::softmax_backward(p, /*is_log=*/true, on_device(y), on_device(dy), dx);
        })[1] == near(0x1p-25 - std::exp(0.5) * dy_sum));
}

TEST_CASE("softmax: a NaN fills its row and no other") {
  for (const std::int64_t C : {4, 40, 1500}) {
    const SoftmaxProblem p{3, C, cks::DType::float32};
    for (const std::int64_t at : {C, C + 2}) {
      std::vector<float> x(static_cast<std::size_t>(3 * C), 1.0F);
      x[static_cast<std::size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
      const auto y = run_kernel<float>(3 * C, [&](float* out) {
        target::softmax_forward(p, /*is_log=*/true, on_device(x), out);
      });
      for (std::int64_t i = 0; i < 3 * C; ++i) {
        REQUIRE(std::isnan(y[static_cast<std::size_t>(i)]) == (i / C == 1));
      }
    }
  }
}

TEST_CASE("cross_entropy: on a GPU a label that names no class makes loss and its row NaN") {
  if (!kTestsCuda) {
    return;  // the CPU's callers check labels before
  }
  const SoftmaxProblem p{3, 4, cks::DType::float32};
  const std::vector<float> log_probabilities(12, -1.0F);
  for (const std::int64_t wrong : {std::int64_t{4}, std::int64_t{-1}, std::int64_t{1} << 62}) {
    const std::vector<std::int64_t> labels{0, wrong, 3};
    CHECK(std::isnan(loss_of<float>({p, 0.1}, log_probabilities, labels)));
    const auto dx = loss_gradient_of({p}, log_probabilities, labels, 1.0F);
    for (std::size_t i = 0; i < 12; ++i) {
      CHECK(std::isnan(dx[i]) == (i / 4 == 1));
    }
  }
}
