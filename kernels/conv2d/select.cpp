#include "cks/kernels/conv2d/cuda/select.h"

#include <string>

#include "cks/kernels/common/error.h"
#include "cks/kernels/conv2d/cpu/layout.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/taps.h"

// Plan selection: pure functions of problem and device. On the CPU each pass has one method that
// takes every float32 and float64 problem, and the reference; cuda/select.cpp holds the GPU's rows.
namespace cks::kernels {
namespace {

bool method_takes(const Conv2dProblem& p) {
  return p.x_type == p.w_type && p.x_type == p.y_type &&
         (p.x_type == DType::float32 || p.x_type == DType::float64);
}

std::string skipped_share(Conv2dPass pass, const Conv2dProblem& p) {
  const auto plain = static_cast<double>(plain_multiply_adds(pass, p));
  const auto exact = static_cast<double>(exact_multiply_adds(p));
  const auto permille = static_cast<std::int64_t>(plain > 0 ? 1000 * (1 - exact / plain) + 0.5 : 0);
  return std::to_string(permille / 10) + "." + std::to_string(permille % 10) +
         " % of the plain multiply-adds are with zeros and skipped";
}

Conv2dPlan method_plan(Conv2dPass pass, const Conv2dProblem& p, const DeviceDescription& device) {
  Conv2dPlan plan = cpu::unexplained_plan(pass, p, device.simd_bytes);
  plan.reason = skipped_share(pass, p);
  if (pass == Conv2dPass::backward_filter) {
    using Lanes = cpu::FilterGradientLayout::Lanes;
    const Lanes lanes = cpu::filter_gradient_layout(p, device.simd_bytes).lanes;
    plan.reason += lanes == Lanes::inputs    ? "; lanes over input channels"
                   : lanes == Lanes::outputs ? "; lanes over output channels"
                                             : "; lanes over groups";
  }
  return plan;
}

Conv2dPlan reference_plan(Conv2dPass pass) {
  Conv2dPlan plan;
  plan.pass = pass;
  plan.reason = "loops of the definition, sums in float64";
  return plan;
}

}  // namespace

const char* name_of(Conv2dPass pass) {
  switch (pass) {
    case Conv2dPass::forward:
      return "forward";
    case Conv2dPass::backward_data:
      return "backward_data";
    case Conv2dPass::backward_filter:
      return "backward_filter";
  }
  return "?";
}

const char* name_of(Conv2dAlgorithm algorithm) {
  switch (algorithm) {
    case Conv2dAlgorithm::reference:
      return "reference";
    case Conv2dAlgorithm::convv2:
      return "convv2";
    case Conv2dAlgorithm::ks_deconv:
      return "ks_deconv";
    case Conv2dAlgorithm::sk_dilated:
      return "sk_dilated";
  }
  return "?";
}

DeviceDescription describe_cpu() {
  DeviceDescription device;
  device.simd_bytes = cpu::kSimdBytes;
  return device;
}

std::string Conv2dPlan::to_string() const {
  return std::string(name_of(pass)) + " " + name_of(algorithm) + " tile " +
         std::to_string(tile_rows) + "x" + std::to_string(tile_lanes) + " granule " +
         std::to_string(granule) + " slices " + std::to_string(slices) + " workspace " +
         std::to_string(workspace_bytes) + " (" + reason + ")";
}

std::vector<Conv2dPlan> possible_plans(Conv2dPass pass, const Conv2dProblem& problem,
                                       const DeviceDescription& device) {
  if (device.is_cuda) {
    return cuda::possible_plans(pass, problem, device);
  }
  std::vector<Conv2dPlan> plans;
  if (method_takes(problem)) {
    plans.push_back(method_plan(pass, problem, device));
  }
  plans.push_back(reference_plan(pass));
  return plans;
}

Conv2dPlan select(Conv2dPass pass, const Conv2dProblem& problem, const DeviceDescription& device) {
  Conv2dPlan plan = possible_plans(pass, problem, device).front();
  if (plan.algorithm == Conv2dAlgorithm::reference) {
    throw DtypeError(std::string("conv2d ") + name_of(pass) +
                     ": X, W and Y must all be float32 or all float64, got " +
                     name_of(problem.x_type) + ", " + name_of(problem.w_type) + ", " +
                     name_of(problem.y_type) + " (" + to_string(problem) + ")");
  }
  return plan;
}

Conv2dPlan select_forward(const Conv2dProblem& problem, const DeviceDescription& device) {
  return select(Conv2dPass::forward, problem, device);
}

Conv2dPlan select_backward_data(const Conv2dProblem& problem, const DeviceDescription& device) {
  return select(Conv2dPass::backward_data, problem, device);
}

Conv2dPlan select_backward_filter(const Conv2dProblem& problem, const DeviceDescription& device) {
  return select(Conv2dPass::backward_filter, problem, device);
}

Conv2dPlan force_plan(const std::string& algorithm, Conv2dPass pass, const Conv2dProblem& problem,
                      const DeviceDescription& device) {
  const std::vector<Conv2dPlan> plans = possible_plans(pass, problem, device);
  std::string names;
  for (const Conv2dPlan& plan : plans) {
    if (name_of(plan.algorithm) == algorithm) {
      return plan;
    }
    names += (names.empty() ? "" : ", ") + std::string(name_of(plan.algorithm));
  }
  throw PlanError("conv2d " + std::string(name_of(pass)) + ": no plan \"" + algorithm +
                  "\" for this problem; possible: " + names + " (" + to_string(problem) + ")");
}

std::int64_t exact_multiply_adds(const Conv2dProblem& p) {
  return p.N * valid_pairs(row_axis(p)) * valid_pairs(column_axis(p)) * p.IC * (p.OC / p.G);
}

std::int64_t plain_multiply_adds(Conv2dPass pass, const Conv2dProblem& p) {
  const std::int64_t pixels = pass == Conv2dPass::backward_data ? p.IH * p.IW : p.OH * p.OW;
  return p.N * pixels * p.OC * p.FH * p.FW * (p.IC / p.G);
}

}  // namespace cks::kernels
