#include "cks/kernels/optimizer_step/optimizer_step.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/optimizer_step/clip.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"

using cks::kernels::AdamStepOptions;
using cks::kernels::SgdStepOptions;
using cks::kernels::StepProblem;
using cks::testing::compare;
using cks::testing::random_real;

namespace cpu = cks::kernels::cpu;

namespace {

constexpr std::int64_t kCount = 40001;  // several blocks and a rest
constexpr int kSteps = 4;

template <class T>
std::vector<T> values(std::uint64_t seed) {
  std::vector<T> result;
  for (std::int64_t i = 0; i < kCount; ++i) {
    result.push_back(static_cast<T>(random_real(seed, static_cast<std::uint64_t>(i))));
  }
  return result;
}

/// A learning rate that changes from step to step.
double rate_at(int step) { return 0.1 / step; }

template <class T>
struct Run {
  std::vector<T> parameter = values<T>(1);
  std::vector<T> first = std::vector<T>(kCount, T{0});
  std::vector<T> second = std::vector<T>(kCount, T{0});
};

template <class T, class Step>
Run<T> run(double rate_scale, const double* grad_scale, Step&& step) {
  Run<T> state;
  double rate = 0.0;
  const StepProblem problem{cks::dtype_of<T>(), kCount, &rate, rate_scale, grad_scale};
  for (std::int64_t t = 1; t <= kSteps; ++t) {
    rate = rate_at(static_cast<int>(t));
    const std::vector<T> grad = values<T>(static_cast<std::uint64_t>(10 + t));
    step(problem, t, grad, state);
  }
  return state;
}

template <class T>
Run<T> run_sgd(const SgdStepOptions& options, double rate_scale, const double* grad_scale) {
  return run<T>(
      rate_scale, grad_scale,
      [&](const StepProblem& problem, std::int64_t, const std::vector<T>& grad, Run<T>& state) {
        cpu::sgd_step(problem, options, grad.data(), state.parameter.data(),
                      options.momentum == 0.0 ? nullptr : state.first.data());
      });
}

template <class T>
Run<T> run_adam(const AdamStepOptions& options, double rate_scale, const double* grad_scale) {
  return run<T>(
      rate_scale, grad_scale,
      [&](const StepProblem& problem, std::int64_t t, const std::vector<T>& grad, Run<T>& state) {
        cpu::adam_step(problem, options, &t, grad.data(), state.parameter.data(),
                       state.first.data(), state.second.data());
      });
}

/// PyTorch's documentation of SGD, line by line, for one element.
double sgd_by_hand(const SgdStepOptions& o, std::size_t i, double rate_scale, double grad_scale) {
  double p = random_real(1, i);
  double b = 0.0;
  for (int t = 1; t <= kSteps; ++t) {
    double g = random_real(static_cast<std::uint64_t>(10 + t), i) * grad_scale;
    g = g + o.weight_decay * p;
    if (o.momentum != 0.0) {
      b = t == 1 ? g : o.momentum * b + g;
      g = o.nesterov ? g + o.momentum * b : b;
    }
    p = p - rate_at(t) * rate_scale * g;
  }
  return p;
}

/// PyTorch's documentation of Adam and AdamW, with the corrected moments written out.
double adam_by_hand(const AdamStepOptions& o, std::size_t i, double rate_scale, double grad_scale) {
  double p = random_real(1, i);
  double m = 0.0;
  double v = 0.0;
  for (int t = 1; t <= kSteps; ++t) {
    const double rate = rate_at(t) * rate_scale;
    double g = random_real(static_cast<std::uint64_t>(10 + t), i) * grad_scale;
    if (o.decoupled) {
      p = p - rate * o.weight_decay * p;
    } else {
      g = g + o.weight_decay * p;
    }
    m = o.beta1 * m + (1.0 - o.beta1) * g;
    v = o.beta2 * v + (1.0 - o.beta2) * g * g;
    const double m_hat = m / (1.0 - std::pow(o.beta1, t));
    const double v_hat = v / (1.0 - std::pow(o.beta2, t));
    p = p - rate * m_hat / (std::sqrt(v_hat) + o.eps);
  }
  return p;
}

template <class ByHand>
std::vector<double> expected(ByHand&& by_hand) {
  std::vector<double> result;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kCount); ++i) {
    result.push_back(by_hand(i));
  }
  return result;
}

const std::vector<SgdStepOptions> kSgdOptions{{}, {0.9}, {0.9, 0.01}, {0.9, 0.01, true}, {0, 0.1}};
const std::vector<AdamStepOptions> kAdamOptions{
    {}, {0.8, 0.99, 1e-6, 0.05, false}, {0.9, 0.999, 1e-8, 0.01, true}};

}  // namespace

TEST_CASE("sgd_step: every form equals the formulas written by hand") {
  const double half = 0.5;
  for (const SgdStepOptions& options : kSgdOptions) {
    CAPTURE(options.momentum);
    CAPTURE(options.nesterov);
    for (const double* scale : {static_cast<const double*>(nullptr), &half}) {
      const auto wanted = expected([&](std::size_t i) {
        return sgd_by_hand(options, i, 2.0, scale == nullptr ? 1.0 : *scale);
      });
      const auto wide =
          compare(run_sgd<double>(options, 2.0, scale).parameter, wanted, {.absolute = 1e-14});
      CHECK_MESSAGE(wide.ok, wide.message);
      const auto narrow =
          compare(run_sgd<float>(options, 2.0, scale).parameter, wanted, {.absolute = 2e-6});
      CHECK_MESSAGE(narrow.ok, narrow.message);
    }
  }
}

TEST_CASE("adam_step: Adam and AdamW equal the formulas written by hand") {
  const double tenth = 0.1;
  for (const AdamStepOptions& options : kAdamOptions) {
    CAPTURE(options.weight_decay);
    CAPTURE(options.decoupled);
    for (const double* scale : {static_cast<const double*>(nullptr), &tenth}) {
      const auto wanted = expected([&](std::size_t i) {
        return adam_by_hand(options, i, 0.5, scale == nullptr ? 1.0 : *scale);
      });
      const auto wide =
          compare(run_adam<double>(options, 0.5, scale).parameter, wanted, {.absolute = 1e-13});
      CHECK_MESSAGE(wide.ok, wide.message);
      const auto narrow =
          compare(run_adam<float>(options, 0.5, scale).parameter, wanted, {.absolute = 5e-6});
      CHECK_MESSAGE(narrow.ok, narrow.message);
    }
  }
}

TEST_CASE("optimizer_step: the number of threads leaves the bits alone") {
  const int before = cks::kernels::num_threads();
  cks::kernels::set_num_threads(1);
  const auto sgd = run_sgd<float>(kSgdOptions[3], 1.0, nullptr);
  const auto adam = run_adam<float>(kAdamOptions[2], 1.0, nullptr);
  for (const int threads : {2, 5}) {
    cks::kernels::set_num_threads(threads);
    CHECK(run_sgd<float>(kSgdOptions[3], 1.0, nullptr).parameter == sgd.parameter);
    CHECK(run_adam<float>(kAdamOptions[2], 1.0, nullptr).parameter == adam.parameter);
    CHECK(run_adam<float>(kAdamOptions[2], 1.0, nullptr).second == adam.second);
  }
  cks::kernels::set_num_threads(before);
}

TEST_CASE("clip_factor: below the bound 1, above it the ratio, NaN stays") {
  double norm = 0.0;
  double factor = 0.0;
  const std::vector<double> squares{9.0, 16.0};
  cpu::clip_factor(squares.data(), 2, 10.0, &norm, &factor);
  CHECK(norm == 5.0);
  CHECK(factor == 1.0);
  cpu::clip_factor(squares.data(), 2, 2.0, &norm, &factor);
  CHECK(factor == 2.0 / (5.0 + 1e-6));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  cpu::clip_factor(&nan, 1, 2.0, &norm, &factor);
  CHECK(std::isnan(norm));
  CHECK(std::isnan(factor));
  cpu::clip_factor(nullptr, 0, 2.0, &norm, &factor);
  CHECK(norm == 0.0);
  CHECK(factor == 1.0);
}

TEST_CASE("all_set: one flag that is not set is enough") {
  std::uint8_t result = 7;
  const std::vector<std::uint8_t> flags{1, 1, 0};
  cpu::all_set(flags.data(), 2, &result);
  CHECK(result == 1);
  cpu::all_set(flags.data(), 3, &result);
  CHECK(result == 0);
  cpu::all_set(nullptr, 0, &result);
  CHECK(result == 1);
}
