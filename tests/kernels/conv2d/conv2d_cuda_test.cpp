#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "cks/kernels/conv2d/conv2d.h"
#include "tests/kernels/conv2d/conv2d_harness.h"
#include "tests/support/device_buffer.h"
#include "tests/support/sanitized.h"

// The CUDA kernels on the whole problem list: every pass, every plan that takes the problem,
// against the CPU's float64 reference, in poisoned device memory between guard bands.

using cks::DType;
using cks::kernels::Arithmetic;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;
using namespace cks::testing;  // NOLINT(google-build-using-namespace): this is a test

namespace {

constexpr cks::kernels::DeviceDescription kGpu{
    .is_cuda = true, .compute_capability = 90, .multiprocessors = 132};

/// Where the pixels of a tensor lie: `channels` values every `pitch` elements.
struct Layout {
  std::int64_t pixels, channels, pitch;
  std::int64_t elements() const { return pixels * pitch; }
};

Layout x_layout(const Conv2dProblem& p) { return {p.N * p.IH * p.IW, p.IC, p.x_pitch}; }
Layout y_layout(const Conv2dProblem& p) { return {p.N * p.OH * p.OW, p.OC, p.y_pitch}; }
Layout w_layout(const Conv2dProblem& p) {
  const std::int64_t size = p.OC * p.FH * p.FW * (p.IC / p.G);
  return {1, size, size};
}
Layout result_layout(Conv2dPass pass, const Conv2dProblem& p) {
  return pass == Conv2dPass::forward         ? y_layout(p)
         : pass == Conv2dPass::backward_data ? x_layout(p)
                                             : w_layout(p);
}

/// One tensor on the device, its pixels pitched, the gaps NaN.
template <class T>
class DeviceImage {
 public:
  DeviceImage(const Layout& layout, std::size_t offset)
      : layout_(layout), buffer_(static_cast<std::size_t>(layout.elements()) * sizeof(T), offset) {}

  void upload(const std::vector<double>& dense) {
    std::vector<T> host(static_cast<std::size_t>(layout_.elements()));
    std::memset(static_cast<void*>(host.data()), 0xff, host.size() * sizeof(T));
    for (std::int64_t i = 0; i < layout_.pixels * layout_.channels; ++i) {
      host[index(i)] = from_double<T>(dense[static_cast<std::size_t>(i)]);
    }
    buffer_.upload(host.data());
  }
  std::vector<unsigned char> bytes() const {
    std::vector<unsigned char> raw(buffer_.bytes());
    buffer_.download(raw.data());
    return raw;
  }
  std::vector<double> dense() const {
    const std::vector<unsigned char> raw = bytes();
    std::vector<double> values;
    for (std::int64_t i = 0; i < layout_.pixels * layout_.channels; ++i) {
      T value{};
      std::memcpy(&value, raw.data() + index(i) * sizeof(T), sizeof(T));
      values.push_back(as_double(value));
    }
    return values;
  }
  void* data() { return buffer_.data(); }
  void poison() { buffer_.poison(); }
  bool intact() const { return buffer_.intact(); }

 private:
  std::size_t index(std::int64_t i) const {
    return static_cast<std::size_t>(i / layout_.channels * layout_.pitch + i % layout_.channels);
  }
  Layout layout_;
  DeviceBuffer buffer_;
};

/// The operands of one pass on the device, and its result; gradients of filters are float32 where
/// elements are bfloat16.
template <class T, class Result = T>
struct DeviceCase {
  Conv2dPass pass;
  const Conv2dProblem& problem;
  DeviceImage<T> first, second, bias;
  DeviceImage<Result> result;

  DeviceCase(Conv2dPass which, const Conv2dProblem& p, const Conv2dValues& values, bool odd_bases)
      : pass(which),
        problem(p),
        first(which == Conv2dPass::backward_data ? y_layout(p) : x_layout(p),
              odd_bases ? sizeof(T) : 0),
        second(which == Conv2dPass::backward_filter ? y_layout(p) : w_layout(p),
               odd_bases ? sizeof(T) : 0),
        bias({1, bias_size(), bias_size()}, odd_bases ? sizeof(T) : 0),
        result(result_layout(which, p), odd_bases ? sizeof(Result) : 0) {
    first.upload(which == Conv2dPass::backward_data ? values.y : values.x);
    second.upload(which == Conv2dPass::backward_filter ? values.y : values.w);
    bias.upload(which == Conv2dPass::backward_data ? values.x_bias : values.y_bias);
  }
  std::int64_t bias_size() const {
    return pass == Conv2dPass::backward_data ? problem.IC : problem.OC;
  }

  std::int64_t run(const Conv2dPlan& plan) {
    result.poison();
    DeviceBuffer workspace(plan.workspace_bytes);
    const auto conv = cks::kernels::prepare_conv2d(problem, plan, kGpu);
    const std::int64_t executed = run_conv2d(
        conv, first.data(), second.data(), {.bias = bias.data()}, result.data(), workspace.data());
    REQUIRE(workspace.intact());
    return executed;
  }
};

struct Statistics {
  std::int64_t runs = 0;
  double largest_error = 0.0;  // in error units
  std::string largest_at;
};

/// What a result may differ by beyond the bound of float32 sums: tensor cores cut their sums
/// instead of rounding them, 16 products at a time, and bfloat16 has 8 bits.
double extra_error(Conv2dPass pass, const Conv2dProblem& p, Arithmetic arithmetic,
                   const std::vector<double>& expected) {
  if (arithmetic == Arithmetic::fp32 || arithmetic == Arithmetic::fp64) {
    return 0.0;
  }
  double largest = 1.0;
  for (const double value : expected) {
    largest = std::max(largest, std::abs(value));
  }
  const auto length = static_cast<double>(sum_length(pass, p));
  const DType stored = pass == Conv2dPass::backward_filter ? p.w_type : p.y_type;
  const double rounding = stored == DType::bfloat16 ? 1.0 / 256 : 0.0;
  return largest * (length / 8 * 0x1p-22 + rounding);
}

/// CKS_TEST_KERNEL=box80 in the environment confines these tests to a kernel, CKS_TEST_SHARD=2/8 to
/// a share of the plans.
bool is_tested(const Conv2dPlan& plan) {
  static const char* const only = std::getenv("CKS_TEST_KERNEL");
  return (only == nullptr || plan.kernel == only) && takes_next_case();
}

/// T: of X, Y and filters; in tf32 they hold numbers of bfloat16, which tf32 multiplies exactly.
template <class T, class Result = T>
void check_plans(const ListedProblem& listed, Conv2dPass pass, std::uint64_t seed, Fill fill,
                 Failures& failures, Statistics& statistics,
                 cks::Precision precision = cks::Precision::fp32) {
  Conv2dProblem p = listed.at(cks::dtype_of<T>());
  p.precision = precision;
  p.is_aligned = !listed.odd_bases;
  if (pass == Conv2dPass::backward_filter) {
    p.w_type = cks::dtype_of<Result>();
  }
  std::vector<Conv2dPlan> plans = possible_plans(pass, p, kGpu);
  std::erase_if(plans, [](const auto& plan) { return !is_tested(plan); });
  if (precision == cks::Precision::tf32) {  // what takes it as float32 is tested as that
    std::erase_if(plans, [](const auto& plan) { return plan.arithmetic == Arithmetic::fp32; });
  }
  if (plans.empty()) {
    return;
  }
  Conv2dValues values = make_values(p, fill, seed);
  if (precision != cks::Precision::fp32) {
    round_to_bfloat16(values);
  }
  Conv2dMemory reference(pass, listed.at(DType::float64), values,
                         pass != Conv2dPass::backward_filter);
  reference.run_reference();
  std::vector<double> expected = reference.result();
  if (std::is_same_v<Result, cks::bfloat16> && fill == Fill::small_integers) {
    round_to_bfloat16(expected);
  }
  const Extents shape = result_shape(pass, p);
  const std::int64_t counted = counted_multiply_adds(p);
  DeviceCase<T, Result> on_device(pass, p, values, listed.odd_bases);
  for (const Conv2dPlan& plan : plans) {
    const std::string where = listed.name + ", " + plan.to_string();
    const std::int64_t executed = on_device.run(plan);
    ++statistics.runs;
    if (plan.granule == 1 ? executed != counted : executed < counted) {
      failures.add(where,
                   "executed " + std::to_string(executed) + ", V is " + std::to_string(counted));
    }
    if (!on_device.result.intact()) {
      failures.add(where, "wrote into a guard band");
    }
    const std::vector<double> got = on_device.result.dense();
    if (fill == Fill::small_integers) {
      if (const Comparison same = compare(got, shape, expected, shape); !same) {
        failures.add(where, "integers: " + same.message);
      }
      continue;
    }
    const double unit = error_unit(pass, p);
    const Comparison close =
        compare(got, shape, expected, shape,
                {.absolute = kErrorUnits * unit + extra_error(pass, p, plan.arithmetic, expected)});
    if (!close) {
      failures.add(where, close.message);
    }
    double largest = 0.0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      largest = std::max(largest, std::abs(got[i] - expected[i]));
    }
    if (precision == cks::Precision::fp32 && unit > 0 &&
        largest / unit > statistics.largest_error) {
      statistics.largest_error = largest / unit;
      statistics.largest_at = where;
    }
    if (seed % 16 == 0) {  // the same bits, run after run
      const std::vector<unsigned char> once = on_device.result.bytes();
      for (int repeat = 0; repeat < 20; ++repeat) {
        on_device.run(plan);
        if (on_device.result.bytes() != once) {
          failures.add(where, "run " + std::to_string(repeat) + " gave other bits");
          break;
        }
      }
    }
  }
}

/// The same in tf32 and bf16.
void check_lower_modes(const ListedProblem& listed, Conv2dPass pass, std::uint64_t seed, Fill fill,
                       Failures& failures, Statistics& statistics) {
  using cks::Precision;
  check_plans<float>(listed, pass, seed, fill, failures, statistics, Precision::tf32);
  if (pass == Conv2dPass::backward_filter) {
    check_plans<cks::bfloat16, float>(listed, pass, seed, fill, failures, statistics,
                                      Precision::bf16);
  } else {
    check_plans<cks::bfloat16>(listed, pass, seed, fill, failures, statistics, Precision::bf16);
  }
}

void check_list(Conv2dPass pass) {
  Statistics statistics;
  {
    Failures failures;
    std::uint64_t seed = 0;
    for (const ListedProblem& listed : conv2d_problems()) {
      try {
        check_plans<float>(listed, pass, seed, Fill::small_integers, failures, statistics);
        check_plans<float>(listed, pass, seed, Fill::reals, failures, statistics);
        for (const Fill fill : {Fill::small_integers, Fill::reals}) {
          check_lower_modes(listed, pass, seed, fill, failures, statistics);
        }
        if (seed % 4 == 0) {
          check_plans<double>(listed, pass, seed, Fill::reals, failures, statistics);
        }
      } catch (const std::exception& error) {
        failures.add(listed.name, std::string("threw: ") + error.what());
      }
      ++seed;
    }
  }
  std::ostringstream text;
  text << name_of(pass) << ": " << statistics.runs << " runs, largest error "
       << statistics.largest_error << " (bound " << kErrorUnits << ") eps*sqrt(L)*max|a|*max|b|"
       << (statistics.largest_at.empty() ? "" : " at " + statistics.largest_at);
  MESSAGE(text.str());
  CHECK(statistics.runs > 0);
}

/// For compute-sanitizer: each kernel on a few problems whose pixels have no gaps.
constexpr std::array kSmallProblems = {
    "one product",           "linear layer as 1x1",    "even map, s2",
    "empty classes, 2x2 s3", "LeNet-5 layer 2",        "ResNet-20 stage 3 entry",
    "ResNet-20 stage 3",     "groups 4, 64 to 32, s1", "1x1, 40 to 136"};

}  // namespace

TEST_CASE("small: conv2d, every plan of a few problems") {
  Statistics statistics;
  Failures failures;
  std::size_t found = 0;
  for (const ListedProblem& listed : conv2d_problems()) {
    if (std::find(kSmallProblems.begin(), kSmallProblems.end(), listed.name) ==
        kSmallProblems.end()) {
      continue;
    }
    ++found;
    for (const Conv2dPass pass : kPasses) {
      check_plans<float>(listed, pass, 1, Fill::reals, failures, statistics);
      check_plans<double>(listed, pass, 1, Fill::reals, failures, statistics);
      check_lower_modes(listed, pass, 1, Fill::reals, failures, statistics);
    }
  }
  CHECK(found == kSmallProblems.size());
  CHECK(statistics.runs > 0);
}

TEST_CASE("cuda conv2d: every plan of a filter of one pixel on a large map") {
  // Several units for each block, whose warpgroups take turns.
  const ListedProblem listed{"1x1 on 240x240", {.IH = 240, .IW = 240, .IC = 72, .OC = 136}};
  Statistics statistics;
  Failures failures;
  for (const Conv2dPass pass : {Conv2dPass::forward, Conv2dPass::backward_data}) {
    for (const Fill fill : {Fill::small_integers, Fill::reals}) {
      check_plans<float>(listed, pass, 0, fill, failures, statistics);
      check_lower_modes(listed, pass, 0, fill, failures, statistics);
    }
  }
  CHECK(statistics.runs > 0);
}

TEST_CASE("cuda conv2d forward: every plan on the whole problem list") {
  check_list(Conv2dPass::forward);
}

TEST_CASE("cuda conv2d backward_data: every plan on the whole problem list") {
  check_list(Conv2dPass::backward_data);
}

TEST_CASE("cuda conv2d backward_filter: every plan on the whole problem list") {
  check_list(Conv2dPass::backward_filter);
}
