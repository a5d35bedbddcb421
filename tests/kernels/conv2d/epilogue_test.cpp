#include "cks/kernels/common/epilogue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/reference.h"
#include "tests/support/compare.h"
#include "tests/support/fill.h"
#include "tests/support/run_kernel.h"
#include "tests/support/sanitized.h"

// What every kernel does with a sum before it stores it. Small integers, so that all results are
// exact.

using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using cks::kernels::Conv2dSizes;
using cks::kernels::Epilogue;
using cks::kernels::PreparedConv2d;

namespace {

const cks::kernels::DeviceDescription kDevice =
    kTestsCuda ? cks::kernels::DeviceDescription{.is_cuda = true,
                                                 .compute_capability = 90,
                                                 .multiprocessors = 132}
               : cks::kernels::describe_cpu();

/// Tiles with and without rests, borders, strides, pixels that nothing reaches, groups, depthwise;
/// the last four also for kernels whose channels come in fours and eights.
const std::vector<Conv2dSizes> kSizes = {
    {.N = 3, .IH = 7, .IW = 6, .IC = 3, .OC = 8, .FH = 3, .FW = 3, .padding = 1},
    {.N = 2, .IH = 9, .IW = 8, .IC = 4, .OC = 5, .FH = 3, .FW = 3, .stride = 2, .padding = 1},
    {.N = 2, .IH = 6, .IW = 6, .IC = 6, .OC = 6, .FH = 1, .FW = 1, .stride = 2},
    {.N = 1, .IH = 8, .IW = 9, .IC = 33, .OC = 70, .FH = 3, .FW = 3, .padding = 1},
    {.N = 2, .IH = 5, .IW = 5, .IC = 8, .OC = 12, .FH = 3, .FW = 3, .padding = 1, .groups = 4},
    {.N = 2, .IH = 5, .IW = 7, .IC = 9, .OC = 9, .FH = 3, .FW = 3, .padding = 1, .groups = 9},
    {.N = 2, .IH = 12, .IW = 12, .IC = 1, .OC = 6, .FH = 5, .FW = 5, .padding = 2},
    {.N = 70, .IH = 5, .IW = 6, .IC = 40, .OC = 72, .FH = 3, .FW = 3, .padding = 1},
    {.N = 3, .IH = 9, .IW = 8, .IC = 72, .OC = 136, .FH = 1, .FW = 1},
    {.N = 2, .IH = 9, .IW = 8, .IC = 200, .OC = 8, .FH = 3, .FW = 3, .stride = 2, .padding = 1},
    {.N = 3, .IH = 9, .IW = 8, .IC = 8, .OC = 136, .FH = 3, .FW = 3, .stride = 2, .padding = 1}};

template <class T>
std::vector<T> integers(std::int64_t count, std::uint64_t seed) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = from_double<T>(static_cast<double>(random_integer(seed, i, -2, 2)));
  }
  return values;
}

/// Which steps of an epilogue a case has.
struct Steps {
  bool bias, scale, shift, residual;
  double slope;
  bool sums;
  double mask_slope = 1.0;  // 1: no mask
};
constexpr Steps kSteps[] = {
    {true, false, false, false, 1.0, false},      {false, true, true, false, 1.0, false},
    {false, false, false, true, 1.0, false},      {true, false, false, false, 0.0, false},
    {true, false, false, false, 0.5, false},      {false, false, true, true, 0.25, false},
    {false, false, false, false, 1.0, true},      {false, false, false, false, 1.0, false, 0.0},
    {true, false, false, true, 1.0, false, 0.25}, {true, true, true, true, 0.0, true}};

template <class T>
struct Case {
  Conv2dPass pass;
  Conv2dProblem p;
  std::int64_t channels, pixels;
  std::vector<T> input, filter, bias, scale, shift, residual, mask;
  std::vector<double> sums;  // before any epilogue

  Case(Conv2dPass which, const Conv2dProblem& problem)
      : pass(which),
        p(problem),
        channels(forward() ? p.OC : p.IC),
        pixels(p.N * (forward() ? p.OH * p.OW : p.IH * p.IW)),
        input(integers<T>(forward() ? p.N * p.IH * p.IW * p.IC : p.N * p.OH * p.OW * p.OC, 1)),
        filter(integers<T>(p.OC * p.FH * p.FW * (p.IC / p.G), 2)),
        bias(integers<T>(channels, 3)),
        scale(integers<T>(channels, 4)),
        shift(integers<T>(channels, 5)),
        residual(integers<T>(pixels * channels, 6)),
        mask(integers<T>(pixels * channels, 7)) {
    for (std::size_t i = 3; i < mask.size(); i += 101) {
      mask[i] = from_double<T>(std::numeric_limits<double>::quiet_NaN());
    }
    Conv2dProblem wide = p;
    wide.x_type = wide.w_type = wide.y_type = cks::DType::float64;
    sums.resize(static_cast<std::size_t>(pixels * channels));
    const auto a = integers<double>(static_cast<std::int64_t>(input.size()), 1);
    const auto w = integers<double>(static_cast<std::int64_t>(filter.size()), 2);
    if (forward()) {
      cks::kernels::cpu::reference_forward(wide, a.data(), w.data(), {}, sums.data());
    } else {
      cks::kernels::cpu::reference_backward_data(wide, a.data(), w.data(), {}, sums.data());
    }
  }
  bool forward() const { return pass == Conv2dPass::forward; }

  std::vector<double> expected(const Steps& steps) const {
    std::vector<double> values = sums;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t c = i % static_cast<std::size_t>(channels);
      double& v = values[i];
      v += steps.bias ? as_double(bias[c]) : 0.0;
      v *= steps.scale ? as_double(scale[c]) : 1.0;
      v += steps.shift ? as_double(shift[c]) : 0.0;
      v += steps.residual ? as_double(residual[i]) : 0.0;
      v = as_double(from_double<T>(v < 0.0 ? v * steps.slope : v));
      v = as_double(mask[i]) <= 0.0 ? as_double(from_double<T>(v * steps.mask_slope)) : v;
    }
    return values;
  }

  bool takes_odd_addresses(const Conv2dPlan& plan) const {
    Conv2dProblem odd = p;
    odd.is_aligned = false;
    const std::vector<Conv2dPlan> plans = possible_plans(pass, odd, kDevice);
    return std::any_of(plans.begin(), plans.end(),
                       [&](const Conv2dPlan& it) { return it.to_string() == plan.to_string(); });
  }

  /// channel_sums: null, or where they go.
  std::vector<T> run(const PreparedConv2d& conv, const Steps& steps, float* channel_sums) const {
    const Conv2dPlan& plan = conv.plan;
    const auto with = [&](const T* b, const T* sc, const T* sh, const T* re, const T* ma) {
      return Epilogue{.bias = steps.bias ? b : nullptr,
                      .scale = steps.scale ? sc : nullptr,
                      .shift = steps.shift ? sh : nullptr,
                      .residual = steps.residual ? re : nullptr,
                      .negative_slope = steps.slope,
                      .mask = steps.mask_slope == 1.0 ? nullptr : ma,
                      .mask_slope = steps.mask_slope,
                      .channel_sums = channel_sums};
    };
    const auto once = [&](T* out) {
      TargetBuffer workspace(plan.workspace_bytes);
      const auto call = [&](const T* a, const T* w, const Epilogue& epilogue) {
        return run_conv2d(conv, a, w, epilogue, out, workspace.data());
      };
      call(on_device(input), on_device(filter),
           with(on_device(bias), on_device(scale), on_device(shift), on_device(residual),
                on_device(mask)));
      REQUIRE(workspace.intact());
    };
    return run_kernel<T>(pixels * channels, once, takes_odd_addresses(plan) ? sizeof(T) : 0);
  }
};

/// rows: [row][2][channels], of values [pixel][channels] and their squares.
void check_sums(const std::vector<float>& rows, const std::vector<double>& values,
                std::int64_t channels) {
  const auto width = static_cast<std::size_t>(channels);
  std::vector<double> expected(2 * width, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    expected[i % width] += values[i];
    expected[i % width + width] += values[i] * values[i];
  }
  std::vector<double> got(2 * width, 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    got[i % (2 * width)] += static_cast<double>(rows[i]);
  }
  for (std::size_t i = 0; i < 2 * width; ++i) {
    // Sums of values are exact, of squares as long as they are below 2^24.
    const double most = i < width ? 0.0 : 1e-6 * expected[i];
    CHECK(std::abs(got[i] - expected[i]) <= most);
  }
}

template <class T>
void check(Conv2dPass pass, Conv2dSizes sizes, std::span<const Steps> cases = kSteps,
           cks::Precision precision = cks::Precision::fp32) {
  sizes.dtype = cks::dtype_of<T>();
  Conv2dProblem problem = cks::kernels::make_conv2d_problem(sizes);
  problem.precision = precision;
  const Case<T> c(pass, problem);
  const Extents shape = {c.pixels, c.channels};
  for (const Conv2dPlan& plan : possible_plans(pass, c.p, kDevice)) {
    if (!takes_next_case()) {
      continue;
    }
    for (Steps steps : cases) {
      const PreparedConv2d conv = cks::kernels::prepare_conv2d(c.p, plan, kDevice);
      const std::int64_t sum_rows = cks::kernels::conv2d_sum_rows(conv);
      steps.sums &= sum_rows > 0;
      if (steps.mask_slope != 1.0 && !(kTestsCuda && pass == Conv2dPass::backward_data)) {
        continue;
      }
      CAPTURE(to_string(c.p));
      CAPTURE(plan.to_string());
      TargetBuffer channel_sums(static_cast<std::size_t>(sum_rows * 2 * c.channels) *
                                sizeof(float));
      const std::vector<T> got =
          c.run(conv, steps, steps.sums ? channel_sums.as<float>() : nullptr);
      const std::vector<double> expected = c.expected(steps);
      const Comparison same = compare(got, shape, expected, shape);
      CHECK_MESSAGE(same.ok, same.message);
      if (steps.sums) {
        check_sums(read_from<float>(channel_sums), expected, c.channels);
        CHECK(channel_sums.intact());
      }
    }
  }
}

}  // namespace

TEST_CASE("small: conv2d, an epilogue of every plan") {
  const Steps all = kSteps[std::size(kSteps) - 1];
  for (const Conv2dPass pass : {Conv2dPass::forward, Conv2dPass::backward_data}) {
    check<float>(pass, kSizes[1], {&all, 1});
    check<double>(pass, kSizes[5], {&all, 1});
    check<cks::bfloat16>(pass, kSizes.back(), {&all, 1});
    check<float>(pass, kSizes.back(), {&all, 1}, cks::Precision::tf32);
  }
  check<float>(Conv2dPass::forward, kSizes[6], {&all, 1});  // for the kernels of few channels
}

TEST_CASE("conv2d: every epilogue of every plan") {
  for (const Conv2dSizes& sizes : kSizes) {
    for (const Conv2dPass pass : {Conv2dPass::forward, Conv2dPass::backward_data}) {
      check<float>(pass, sizes);
      check<float>(pass, sizes, kSteps, cks::Precision::tf32);
      check<double>(pass, sizes);
      check<cks::bfloat16>(pass, sizes);
    }
  }
}

TEST_CASE("conv2d: an activation in the epilogue keeps a NaN") {
  const auto p = cks::kernels::make_conv2d_problem({.N = 1, .IH = 2, .IW = 2, .IC = 1, .OC = 1});
  const std::vector<float> x = {1.0F, std::numeric_limits<float>::quiet_NaN(), -1.0F, 2.0F};
  const std::vector<float> w = {1.0F};
  for (const Conv2dPlan& plan : possible_plans(Conv2dPass::forward, p, kDevice)) {
    for (const float slope : {0.0F, 0.5F}) {
      CAPTURE(plan.to_string());
      CAPTURE(slope);
      const auto conv = cks::kernels::prepare_conv2d(p, plan, kDevice);
      const std::vector<float> y = run_kernel<float>(4, [&](float* out) {
        TargetBuffer workspace(plan.workspace_bytes);
        const auto call = [&](const float* a, const float* b) {
          run_conv2d(conv, a, b, {.negative_slope = slope}, out, workspace.data());
        };
        call(on_device(x), on_device(w));
      });
      CHECK(y[0] == 1.0F);
      CHECK(std::isnan(y[1]));
      CHECK(y[2] == -slope);
      CHECK(y[3] == 2.0F);
    }
  }
}
