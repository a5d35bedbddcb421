// bench_conv: times every plan of every pass of a convolution, checks it against the float64
// reference, and says how many multiply-adds it skips.
//
//   bench_conv --shapes resnet20            median microseconds of the selected plans
//   bench_conv --shapes anchors --device cuda --algorithm all
//   bench_conv --shapes "64x2x2x512,512,k3,s1,p1" --check
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "apps/conv_shapes.h"
#include "apps/flags.h"
#include "cks/core/conv_plan.h"
#include "cks/core/cuda.h"
#include "cks/core/ops/common.h"
#include "cks/core/random.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace {

using cks::Tensor;
using cks::kernels::Conv2dPass;
using cks::kernels::Conv2dPlan;
using cks::kernels::Conv2dProblem;

struct Options {
  std::string shapes = "resnet20";
  std::string pass = "all";
  std::string algorithm = "selected";
  std::string device_name = "cpu";
  cks::Device device;
  double seconds = 1.0;
  std::int64_t threads = cks::kernels::num_threads();
  bool check = false;
  bool json = false;
};

/// The tensors of one convolution; random, never zeros, since zeros would flatter a processor's
/// clock.
struct Operands {
  Tensor x, w, dy;
  Operands(const Conv2dProblem& p, cks::Device device)
      : x(random({p.N, p.IH, p.IW, p.IC}, 0).to(device)),
        w(random({p.OC, p.FH, p.FW, p.IC / p.G}, 1).to(device)),
        dy(random({p.N, p.OH, p.OW, p.OC}, 2).to(device)) {}

  static Tensor random(const cks::Shape& shape, std::uint64_t stream) {
    Tensor tensor = Tensor::empty(shape);
    cks::fill_uniform(tensor, -1.0, 1.0, cks::make_random_key(1, cks::RandomPurpose::data), stream);
    return tensor;
  }
};

/// Runs one pass under a plan into `result`; returns the executed multiply-adds.
std::int64_t run_pass(const Conv2dProblem& p, const Conv2dPlan& plan, const Operands& in,
                      Tensor& result, void* workspace) {
  const cks::Device device = result.device();
  switch (plan.pass) {
    case Conv2dPass::forward:
      return CKS_KERNEL(device, conv2d_forward(p, plan, in.x.data(), in.w.data(), nullptr,
                                               result.data(), workspace));
    case Conv2dPass::backward_data:
      return CKS_KERNEL(device, conv2d_backward_data(p, plan, in.dy.data(), in.w.data(), nullptr,
                                                     result.data(), workspace));
    case Conv2dPass::backward_filter:
      break;
  }
  return CKS_KERNEL(
      device, conv2d_backward_filter(p, plan, in.x.data(), in.dy.data(), result.data(), workspace));
}

cks::Shape result_shape(const Conv2dProblem& p, Conv2dPass pass) {
  switch (pass) {
    case Conv2dPass::forward:
      return {p.N, p.OH, p.OW, p.OC};
    case Conv2dPass::backward_data:
      return {p.N, p.IH, p.IW, p.IC};
    case Conv2dPass::backward_filter:
      break;
  }
  return {p.OC, p.FH, p.FW, p.IC / p.G};
}

struct Timing {
  double median_us = 0, min_us = 0, max_us = 0;
  std::int64_t executed = 0;
};

/// Medians over rounds of several calls each: a round lasts long enough for the clock, and on a GPU
/// long enough to hide the launches.
Timing time_plan(const Conv2dProblem& p, const Conv2dPlan& plan, const Operands& in, Tensor& result,
                 double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr double kRound = 2e-3;
  const cks::Device device = result.device();
  Tensor workspace =
      Tensor::empty({static_cast<std::int64_t>(plan.workspace_bytes)}, cks::DType::uint8, device);
  const auto time_round = [&](int calls) {
    cks::synchronize(device);
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) {
      run_pass(p, plan, in, result, workspace.data());
    }
    cks::synchronize(device);
    return std::chrono::duration<double>(Clock::now() - start).count() / calls;
  };
  Timing timing;
  timing.executed = run_pass(p, plan, in, result, workspace.data());
  const double once = time_round(1);
  const int calls = once >= kRound ? 1 : static_cast<int>(kRound / once) + 1;
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 5 ||
         std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    times.push_back(1e6 * time_round(calls));
  }
  std::sort(times.begin(), times.end());
  timing.median_us = times[times.size() / 2];
  timing.min_us = times.front();
  timing.max_us = times.back();
  return timing;
}

/// Greatest difference from the reference, relative to the reference's greatest magnitude.
double error_against_reference(const Conv2dProblem& p, Conv2dPass pass, const Operands& in,
                               const Tensor& result) {
  Tensor expected = Tensor::empty(result.shape(), result.dtype(), result.device());
  const Conv2dPlan plan =
      cks::kernels::force_plan("reference", pass, p, cks::describe_for_plans(result.device()));
  run_pass(p, plan, in, expected, nullptr);
  const std::vector<float> a = result.to_vector<float>();
  const std::vector<float> b = expected.to_vector<float>();
  double greatest = 0, difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    greatest = std::max(greatest, std::fabs(static_cast<double>(b[i])));
    const double gap = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    difference = !(gap <= difference) ? gap : difference;  // keeps a NaN
  }
  return difference / greatest;
}

void report(const Options& options, const std::string& name, const Conv2dProblem& p,
            const Conv2dPlan& plan, const Timing& timing, double error) {
  const auto plain = static_cast<double>(cks::kernels::plain_multiply_adds(plan.pass, p));
  const auto exact = static_cast<double>(cks::kernels::exact_multiply_adds(p));
  const auto executed = static_cast<double>(timing.executed);
  const double skipped = 100.0 * (1.0 - executed / plain);
  const double gflops = 2e-3 * plain / timing.median_us;
  if (options.json) {
    std::printf(
        "{\"name\": \"%s\", \"pass\": \"%s\", \"algorithm\": \"%s\", \"median_us\": %.2f, "
        "\"min_us\": %.2f, \"max_us\": %.2f, \"plain_gflops\": %.2f, \"skipped_percent\": %.2f, "
        "\"executed_over_exact\": %.4f, \"max_error\": %.3g}\n",
        name.c_str(), name_of(plan.pass), name_of(plan.algorithm), timing.median_us, timing.min_us,
        timing.max_us, gflops, skipped, executed / exact, error);
    return;
  }
  const std::string method = std::string(name_of(plan.algorithm)) + " " +
                             std::to_string(plan.tile_rows) + "x" + std::to_string(plan.tile_lanes);
  std::printf("%-26s %-15s %-18s %10.1f %10.1f %9.1f %8.1f %% %8.3f", name.c_str(),
              name_of(plan.pass), method.c_str(), timing.median_us, timing.min_us, gflops, skipped,
              executed / exact);
  if (options.check) {
    std::printf(" %10.2g", error);
  }
  std::printf("\n");
}

void bench(const Options& options, const cks::apps::NamedShape& shape) {
  const Conv2dProblem& p = shape.problem;
  const Operands operands(p, options.device);
  for (const Conv2dPass pass :
       {Conv2dPass::forward, Conv2dPass::backward_data, Conv2dPass::backward_filter}) {
    if (options.pass != "all" && options.pass != name_of(pass)) {
      continue;
    }
    const auto device = cks::describe_for_plans(options.device);
    std::vector<Conv2dPlan> plans;
    if (options.algorithm == "selected") {
      plans = {cks::kernels::select(pass, p, device)};
    } else if (options.algorithm == "all") {
      plans = possible_plans(pass, p, device);
    } else {
      plans = {force_plan(options.algorithm, pass, p, device)};
    }
    for (const Conv2dPlan& plan : plans) {
      Tensor result = Tensor::empty(result_shape(p, pass), cks::DType::float32, options.device);
      const Timing timing = time_plan(p, plan, operands, result, options.seconds);
      const double error = options.check ? error_against_reference(p, pass, operands, result) : 0.0;
      report(options, shape.name, p, plan, timing, error);
    }
  }
}

int run(int argc, char** argv) {
  Options options;
  cks::apps::Flags flags("bench_conv", "Times the plans of convolutions, pass by pass.");
  flags.add("shapes", options.shapes,
            "anchors, lenet, resnet20, or NxIHxIWxIC,OC,k3,s1,p1 separated by semicolons");
  flags.add_choice("pass", options.pass, {"all", "forward", "backward_data", "backward_filter"},
                   "which pass");
  flags.add("algorithm", options.algorithm, "selected, all, or a name such as convv2 or reference");
  flags.add("device", options.device_name, "auto, cpu, cuda or cuda:N");
  flags.add("seconds", options.seconds, "time spent on each plan", 0.0, 3600.0);
  flags.add("threads", options.threads, "threads", 1, 1024);
  flags.add_switch("check", options.check, "compare with the float64 reference (slow)");
  flags.add_switch("json", options.json, "one JSON object a line");
  if (const auto code = flags.parse(argc, argv)) {
    return *code;
  }
  cks::kernels::set_num_threads(static_cast<int>(options.threads));
  options.device = cks::choose_device(options.device_name);
  if (!options.json) {
    std::printf("%-26s %-15s %-18s %10s %10s %9s %10s %8s%s\n", "shape", "pass", "algorithm",
                "median us", "min us", "GFLOP/s*", "skipped", "exec/V",
                options.check ? "  max error" : "");
  }
  for (const cks::apps::NamedShape& shape : cks::apps::parse_shapes(options.shapes)) {
    bench(options, shape);
  }
  if (!options.json) {
    std::printf("* plain-equivalent: skipped multiply-adds count as done\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
