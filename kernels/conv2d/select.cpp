#include <algorithm>
#include <string>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/conv2d/kernel.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/taps.h"

// Plan selection: pure functions of problem and device over the table of kernels.
namespace cks::kernels {
namespace {

std::vector<Conv2dCandidate> all_candidates(Conv2dPass pass, const Conv2dProblem& problem,
                                            const DeviceDescription& device) {
  std::vector<Conv2dCandidate> all;
  const EnumSet<Arithmetic> allowed = arithmetic_of(problem);
  for (const Conv2dKernel* kernel : conv2d_kernels(device.is_cuda)) {
    if (!kernel->passes.contains(pass) || !runs_on(device, *kernel)) {
      continue;
    }
    for (const Arithmetic arithmetic : kArithmetics) {
      if (!allowed.contains(arithmetic) || !kernel->arithmetic.contains(arithmetic)) {
        continue;
      }
      for (Conv2dCandidate& candidate : kernel->candidates({pass, problem, device, arithmetic})) {
        candidate.plan.pass = pass;
        candidate.plan.kernel = kernel->name;
        candidate.plan.arithmetic = arithmetic;
        all.push_back(std::move(candidate));
      }
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.cost < b.cost; });
  return all;
}

}  // namespace

const char* name_of(Conv2dPass pass) {
  constexpr std::array kNames{"forward", "backward_data", "backward_filter"};
  return kNames[static_cast<std::size_t>(pass)];
}

const char* name_of(Arithmetic arithmetic) {
  constexpr std::array kNames{"fp32", "fp64", "tf32", "fp16", "bf16"};
  return kNames[static_cast<std::size_t>(arithmetic)];
}

const char* method_of(Conv2dPass pass) {
  constexpr std::array kMethods{"convv2", "ks_deconv", "sk_dilated"};
  return kMethods[static_cast<std::size_t>(pass)];
}

const char* Conv2dPlan::method() const {
  return kernel == "reference" ? "reference" : method_of(pass);
}

std::string Conv2dPlan::to_string() const {
  return formatted("{} {} {} {}x{} {} split-K {} granule {} workspace {} ({})", pass, method(),
                   kernel, tile.rows, tile.columns, arithmetic, split_k, granule, workspace_bytes,
                   reason);
}

bool same_plan(const Conv2dPlan& a, const Conv2dPlan& b) {
  return a.pass == b.pass && a.kernel == b.kernel && a.arithmetic == b.arithmetic &&
         a.tile == b.tile && a.split_k == b.split_k && a.granule == b.granule &&
         a.workspace_bytes == b.workspace_bytes;
}

std::vector<Conv2dPlan> possible_plans(Conv2dPass pass, const Conv2dProblem& problem,
                                       const DeviceDescription& device) {
  return mapped(all_candidates(pass, problem, device), &Conv2dCandidate::plan);
}

Conv2dPlan select(Conv2dPass pass, const Conv2dProblem& problem, const DeviceDescription& device) {
  const std::vector<Conv2dPlan> plans = possible_plans(pass, problem, device);
  if (plans.empty() || plans.front().kernel == "reference") {
    throw DtypeError(
        formatted("conv2d {}: X, W and Y must all be float32 or all float64, got {}, "
                  "{}, {} ({})",
                  pass, problem.x_type, problem.w_type, problem.y_type, to_string(problem)));
  }
  return plans.front();
}

Conv2dPlan force_plan(const std::string& name, Conv2dPass pass, const Conv2dProblem& problem,
                      const DeviceDescription& device) {
  const std::vector<Conv2dPlan> plans = possible_plans(pass, problem, device);
  std::vector<std::string> names;
  for (const Conv2dPlan& plan : plans) {
    if (name == plan.method() || name == plan.kernel) {
      return plan;
    }
    for (const std::string& known : {std::string(plan.method()), plan.kernel}) {
      if (!contains(names, known)) {
        names.push_back(known);
      }
    }
  }
  throw PlanError(formatted("conv2d {}: no plan \"{}\" for this problem; possible: {} ({})", pass,
                            name, list_text(names), to_string(problem)));
}

std::vector<std::string> plan_names(Conv2dPass pass) {
  std::vector<std::string> names = {method_of(pass)};
  for (const bool is_cuda : {false, true}) {
    for (const Conv2dKernel* kernel : conv2d_kernels(is_cuda)) {
      if (kernel->passes.contains(pass) && !contains(names, kernel->name)) {
        names.emplace_back(kernel->name);
      }
    }
  }
  return names;
}

std::int64_t exact_multiply_adds(const Conv2dProblem& p) {
  return p.N * valid_pairs(row_axis(p)) * valid_pairs(column_axis(p)) * p.IC * (p.OC / p.G);
}

std::int64_t plain_multiply_adds(Conv2dPass pass, const Conv2dProblem& p) {
  const std::int64_t pixels = pass == Conv2dPass::backward_data ? p.IH * p.IW : p.OH * p.OW;
  return p.N * pixels * p.OC * p.FH * p.FW * (p.IC / p.G);
}

}  // namespace cks::kernels
