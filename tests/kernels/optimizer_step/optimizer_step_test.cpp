#include "cks/kernels/optimizer_step/optimizer_step.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "cks/kernels/counter/counter.h"
#include "cks/kernels/optimizer_step/clip.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"

using cks::kernels::AdamStepOptions;
using cks::kernels::NormTensor;
using cks::kernels::SgdStepOptions;
using cks::kernels::StepProblem;
using cks::kernels::StepTensor;

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

/// Options of either optimiser, with the weight decay that its tensors carry.
template <class Options>
struct Case {
  Options options;
  double weight_decay = 0.0;
};

/// Elements at which the parameters end that the kCount elements are cut into: more parameters than
/// one launch takes, from empty to long, many of them at odd addresses.
std::vector<std::int64_t> ends() {
  std::vector<std::int64_t> result{0, 0, 1, 4, 9, 2000};
  while (result.back() + 500 < kCount / 2) {
    result.push_back(result.back() + 300 + static_cast<std::int64_t>(result.size()));
  }
  result.push_back(kCount);
  return result;
}

template <class T>
struct Run {
  std::vector<T> parameter, first, second;
};

/// kSteps steps of all parameters; `step` calls the kernel.
template <class T, class Step>
Run<T> run(double weight_decay, double rate_scale, const double* grad_scale, bool keeps_first,
           Step&& step) {
  TargetBuffer parameter(kCount * sizeof(T));
  TargetBuffer grad(kCount * sizeof(T));
  TargetBuffer first(kCount * sizeof(T));
  TargetBuffer second(kCount * sizeof(T));
  TargetBuffer counter(sizeof(std::int64_t));
  TargetBuffer rate(sizeof(double));
  TargetBuffer scale(sizeof(double));
  write_to(parameter.as<T>(), values<T>(1));
  write_to(first.as<T>(), std::vector<T>(kCount, T{0}));
  write_to(second.as<T>(), std::vector<T>(kCount, T{0}));
  write_to(scale.as<double>(), std::vector<double>{grad_scale == nullptr ? 0.0 : *grad_scale});
  std::vector<StepTensor> tensors;
  std::int64_t begin = 0;
  for (const std::int64_t end : ends()) {
    tensors.push_back({.dtype = cks::dtype_of<T>(),
                       .count = end - begin,
                       .grad = grad.as<T>() + begin,
                       .parameter = parameter.as<T>() + begin,
                       .first = keeps_first ? first.as<T>() + begin : nullptr,
                       .second = second.as<T>() + begin,
                       .step = counter.as<std::int64_t>(),
                       .learning_rate_scale = rate_scale,
                       .weight_decay = weight_decay});
    begin = end;
  }
  for (std::int64_t t = 1; t <= kSteps; ++t) {
    write_to(rate.as<double>(), std::vector<double>{rate_at(static_cast<int>(t))});
    write_to(counter.as<std::int64_t>(), std::vector<std::int64_t>{t});
    write_to(grad.as<T>(), values<T>(static_cast<std::uint64_t>(10 + t)));
    step(StepProblem{tensors.data(), static_cast<std::int64_t>(tensors.size()), rate.as<double>(),
                     grad_scale == nullptr ? nullptr : scale.as<double>()});
  }
  Run<T> result{read_from<T>(parameter), read_from<T>(first), read_from<T>(second)};
  for (TargetBuffer* buffer : {&parameter, &grad, &first, &second, &counter, &rate, &scale}) {
    CHECK(buffer->intact());
  }
  return result;
}

template <class T>
Run<T> run_sgd(const Case<SgdStepOptions>& c, double rate_scale, const double* grad_scale) {
  return run<T>(c.weight_decay, rate_scale, grad_scale, c.options.momentum != 0.0,
                [&](StepProblem problem) {
                  std::vector<StepTensor> tensors(problem.tensors, problem.tensors + problem.count);
                  for (StepTensor& tensor : tensors) {
                    tensor.second = nullptr;
                    tensor.step = nullptr;
                  }
                  problem.tensors = tensors.data();
                  target::sgd_step(problem, c.options);
                });
}

template <class T>
Run<T> run_adam(const Case<AdamStepOptions>& c, double rate_scale, const double* grad_scale) {
  return run<T>(c.weight_decay, rate_scale, grad_scale, true,
                [&](const StepProblem& problem) { target::adam_step(problem, c.options); });
}

/// PyTorch's documentation of SGD, line by line, for one element.
double sgd_by_hand(const Case<SgdStepOptions>& c, std::size_t i, double rate_scale,
                   double grad_scale) {
  const SgdStepOptions& o = c.options;
  double p = random_real(1, i);
  double b = 0.0;
  for (int t = 1; t <= kSteps; ++t) {
    double g = random_real(static_cast<std::uint64_t>(10 + t), i) * grad_scale;
    g = g + c.weight_decay * p;
    if (o.momentum != 0.0) {
      b = t == 1 ? g : o.momentum * b + g;
      g = o.nesterov ? g + o.momentum * b : b;
    }
    p = p - rate_at(t) * rate_scale * g;
  }
  return p;
}

/// PyTorch's documentation of Adam and AdamW, with the corrected moments written out.
double adam_by_hand(const Case<AdamStepOptions>& c, std::size_t i, double rate_scale,
                    double grad_scale) {
  const AdamStepOptions& o = c.options;
  double p = random_real(1, i);
  double m = 0.0;
  double v = 0.0;
  for (int t = 1; t <= kSteps; ++t) {
    const double rate = rate_at(t) * rate_scale;
    double g = random_real(static_cast<std::uint64_t>(10 + t), i) * grad_scale;
    if (o.decoupled) {
      p = p - rate * c.weight_decay * p;
    } else {
      g = g + c.weight_decay * p;
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

const std::vector<Case<SgdStepOptions>> kSgdCases{
    {}, {{0.9}}, {{0.9}, 0.01}, {{0.9, true}, 0.01}, {{}, 0.1}};
const std::vector<Case<AdamStepOptions>> kAdamCases{
    {}, {{0.8, 0.99, 1e-6, false}, 0.05}, {{0.9, 0.999, 1e-8, true}, 0.01}};

}  // namespace

TEST_CASE("sgd_step: every form equals the formulas written by hand") {
  const double half = 0.5;
  for (const auto& options : kSgdCases) {
    CAPTURE(options.options.momentum);
    CAPTURE(options.options.nesterov);
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

TEST_CASE("sgd_step: a momentum in memory takes the place of the option's") {
  TargetBuffer momentum(sizeof(double));
  write_to(momentum.as<double>(), std::vector<double>{0.9});
  const Case<SgdStepOptions> read{{0.4, true, momentum.as<double>()}, 0.01};
  const Case<SgdStepOptions> given{{0.9, true}, 0.01};
  CHECK(run_sgd<float>(read, 2.0, nullptr).parameter ==
        run_sgd<float>(given, 2.0, nullptr).parameter);
  CHECK(momentum.intact());
}

TEST_CASE("adam_step: Adam and AdamW equal the formulas written by hand") {
  const double tenth = 0.1;
  for (const auto& options : kAdamCases) {
    CAPTURE(options.weight_decay);
    CAPTURE(options.options.decoupled);
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

TEST_CASE("optimizer_step: neither threads nor repetition change the bits") {
  const cks::testing::ThreadCount restore(1);
  const auto sgd = run_sgd<float>(kSgdCases[3], 1.0, nullptr);
  const auto adam = run_adam<float>(kAdamCases[2], 1.0, nullptr);
  for (const int threads : {2, 5}) {
    cks::kernels::set_num_threads(threads);
    CHECK(run_sgd<float>(kSgdCases[3], 1.0, nullptr).parameter == sgd.parameter);
    CHECK(run_adam<float>(kAdamCases[2], 1.0, nullptr).parameter == adam.parameter);
    CHECK(run_adam<float>(kAdamCases[2], 1.0, nullptr).second == adam.second);
  }
}

TEST_CASE("optimizer_step: dtypes mix in one call, others are refused") {
  TargetBuffer narrow(3 * sizeof(float));
  TargetBuffer wide(2 * sizeof(double));
  TargetBuffer rate(sizeof(double));
  write_to(narrow.as<float>(), std::vector<float>{1, 2, 3});
  write_to(wide.as<double>(), std::vector<double>{4, 5});
  write_to(rate.as<double>(), std::vector<double>{0.5});
  // Each parameter is its own gradient.
  std::vector<StepTensor> tensors{{cks::DType::float32, 3, narrow.data(), narrow.data()},
                                  {cks::DType::float64, 2, wide.data(), wide.data()}};
  const StepProblem problem{tensors.data(), 2, rate.as<double>()};
  target::sgd_step(problem, {});
  CHECK(read_from<float>(narrow) == std::vector<float>{0.5F, 1.0F, 1.5F});
  CHECK(read_from<double>(wide) == std::vector<double>{2.0, 2.5});
  tensors[1].dtype = cks::DType::int32;
  CHECK_THROWS_AS(target::adam_step({&tensors[1], 1, rate.as<double>()}, {}), cks::DtypeError);
}

struct Clipped {
  double norm, factor;
};

/// Of gradients that lie one behind the other in `values`, each up to one of `ends`.
template <class T>
Clipped clip(const std::vector<T>& values, const std::vector<std::int64_t>& ends, double max_norm) {
  TargetBuffer gradients(values.size() * sizeof(T));
  write_to(gradients.as<T>(), values);
  std::vector<NormTensor> tensors;
  std::int64_t begin = 0;
  for (const std::int64_t end : ends) {
    tensors.push_back({cks::dtype_of<T>(), end - begin, gradients.as<T>() + begin});
    begin = end;
  }
  const auto count = static_cast<std::int64_t>(tensors.size());
  TargetBuffer workspace(target::gradient_norm_workspace_bytes(tensors.data(), count));
  Clipped result{};
  result.norm = run_kernel<double>(1, [&](double* norm) {
    TargetBuffer factor(sizeof(double));
    target::gradient_norm(tensors.data(), count, max_norm, norm, factor.as<double>(),
                          workspace.data());
    result.factor = read_from<double>(factor)[0];
  })[0];
  CHECK(workspace.intact());
  return result;
}

TEST_CASE("gradient_norm: below the bound 1, above it the ratio, NaN stays") {
  const Clipped loose = clip<double>({3.0, 0.0, -4.0}, {2, 3}, 10.0);
  CHECK(loose.norm == 5.0);
  CHECK(loose.factor == 1.0);
  CHECK(clip<float>({3.0F, 0.0F, -4.0F}, {2, 3}, 2.0).factor == 2.0 / (5.0 + 1e-6));
  const Clipped bad = clip<float>({1.0F, std::numeric_limits<float>::quiet_NaN()}, {1, 2}, 2.0);
  CHECK(std::isnan(bad.norm));
  CHECK(std::isnan(bad.factor));
  const Clipped none = clip<float>({}, {}, 2.0);
  CHECK(none.norm == 0.0);
  CHECK(none.factor == 1.0);
  CHECK(clip<float>(std::vector<float>(400, 1.0F), {0, 0, 400, 400}, 30.0).norm == 20.0);
}

TEST_CASE("gradient_norm: more gradients than a launch takes, at odd addresses, long and empty") {
  std::vector<std::int64_t> ends{0, 1, 4, 9, 3000, 3000};
  while (ends.size() < 400) {
    ends.push_back(ends.back() + static_cast<std::int64_t>(ends.size() % 37));
  }
  ends.push_back(ends.back() + 3'000'000);  // stretches of more than one turn of a block
  const auto check = [&]<class T>(T) {
    std::vector<T> values(static_cast<std::size_t>(ends.back()));
    double exact = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<T>(static_cast<double>(i % 9) - 4.0);  // sums of squares are exact
      exact += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    CHECK(clip(values, ends, 1.0).norm == std::sqrt(exact));
    values[values.size() - 1] = std::numeric_limits<T>::infinity();
    CHECK(std::isinf(clip(values, ends, 1.0).norm));
  };
  check(float{});
  check(double{});
}

TEST_CASE("gradient_norm: dtypes mix in one call, others are refused") {
  TargetBuffer narrow(sizeof(float));
  TargetBuffer wide(sizeof(double));
  TargetBuffer results(2 * sizeof(double));
  write_to(narrow.as<float>(), std::vector<float>{3.0F});
  write_to(wide.as<double>(), std::vector<double>{4.0});
  std::vector<NormTensor> tensors{{cks::DType::float64, 1, wide.data()},
                                  {cks::DType::float32, 1, narrow.data()}};
  TargetBuffer workspace(target::gradient_norm_workspace_bytes(tensors.data(), 2));
  double* norm = results.as<double>();
  target::gradient_norm(tensors.data(), 2, 10.0, norm, norm + 1, workspace.data());
  CHECK(read_from<double>(results) == std::vector<double>{5.0, 1.0});
  tensors[0].dtype = cks::DType::int32;
  CHECK_THROWS_AS(target::gradient_norm(tensors.data(), 2, 10.0, norm, norm + 1, workspace.data()),
                  cks::DtypeError);
}

TEST_CASE("optimizer_step: a flag in memory leaves everything as it is") {
  for (const std::uint8_t skips : {0, 1}) {
    TargetBuffer flag(1);
    TargetBuffer parameter(5 * sizeof(float));
    TargetBuffer first(5 * sizeof(float));
    TargetBuffer second(5 * sizeof(float));
    TargetBuffer rate(sizeof(double));
    TargetBuffer counter(sizeof(std::int64_t));
    const std::vector<float> start{1, 2, 3, 4, 5};
    write_to(flag.as<std::uint8_t>(), std::vector<std::uint8_t>{skips});
    write_to(rate.as<double>(), std::vector<double>{0.5});
    write_to(counter.as<std::int64_t>(), std::vector<std::int64_t>{3});
    for (TargetBuffer* buffer : {&parameter, &first, &second}) {
      write_to(buffer->as<float>(), start);
    }
    const StepTensor tensor{.dtype = cks::DType::float32,
                            .count = 5,
                            .grad = parameter.data(),
                            .parameter = parameter.data(),
                            .first = first.data(),
                            .second = second.data(),
                            .step = counter.as<std::int64_t>()};
    const StepProblem problem{.tensors = &tensor,
                              .count = 1,
                              .learning_rate = rate.as<double>(),
                              .grad_scale = nullptr,
                              .skip = flag.as<std::uint8_t>()};
    target::sgd_step(problem, {.momentum = 0.5});
    CHECK((read_from<float>(parameter) == start) == (skips != 0));
    CHECK((read_from<float>(first) == start) == (skips != 0));
    target::adam_step(problem, {});
    CHECK((read_from<float>(second) == start) == (skips != 0));
    std::int64_t* const counters[] = {counter.as<std::int64_t>()};
    target::count_up(counters, 1, flag.as<std::uint8_t>());
    CHECK(read_from<std::int64_t>(counter)[0] == (skips != 0 ? 3 : 4));
  }
}
