#include "cks/kernels/conv2d/conv2d.h"

#include "cks/config.h"
#include "cks/kernels/common/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/kernel.h"
#include "cks/kernels/elementwise/elementwise.h"

// Preparing checks that plan, problem and device belong together; the entry points call the plan's
// kernel. A plan of another problem or machine is an error, never replaced.
namespace cks::kernels {
namespace {

[[noreturn]] void fail(Conv2dPass pass, const Conv2dProblem& problem, const std::string& what) {
  throw PlanError(formatted("conv2d {}: {} ({})", pass, what, to_string(problem)));
}

const Conv2dKernel& kernel_of(const Conv2dPlan& plan, const Conv2dProblem& problem,
                              const DeviceDescription& device) {
  std::vector<const char*> known;
  for (const Conv2dKernel* kernel : conv2d_kernels(device.is_cuda)) {
    if (!kernel->passes.contains(plan.pass)) {
      continue;
    }
    if (kernel->name == plan.kernel) {
      return *kernel;
    }
    known.push_back(kernel->name);
  }
  fail(plan.pass, problem,
       formatted("the plan names the kernel \"{}\", which this device does not have for the pass; "
                 "it has {}",
                 plan.kernel, list_text(known)));
}

/// Epilogue::mask, after a kernel that leaves it out.
void mask_result([[maybe_unused]] const Conv2dProblem& p,
                 [[maybe_unused]] const Conv2dOperands& operands) {
#if CKS_HAS_CUDA
  const double slope = operands.epilogue.mask_slope;
  cuda::unary_backward(slope == 0.0 ? UnaryOp::relu : UnaryOp::leaky_relu, p.x_type, x_elements(p),
                       operands.result, operands.epilogue.mask, operands.result, {slope});
#endif
}

}  // namespace

PreparedConv2d prepare_conv2d(const Conv2dProblem& problem, const Conv2dPlan& plan,
                              const DeviceDescription& device) {
  const Conv2dKernel& kernel = kernel_of(plan, problem, device);
  if (device.is_cuda && !runs_on(device, kernel)) {
    fail(plan.pass, problem,
         formatted("the kernel \"{}\" needs compute capability {}{}, the device has {}",
                   plan.kernel, kernel.compute_capability, kernel.only_there ? " alone" : "",
                   device.compute_capability));
  }
  if (!arithmetic_of(problem).contains(plan.arithmetic) ||
      !kernel.arithmetic.contains(plan.arithmetic) || !kernel.accepts(plan, problem)) {
    fail(plan.pass, problem, formatted("the plan \"{}\" does not take this problem", plan));
  }
  if (kernel.run == nullptr) {
    fail(plan.pass, problem,
         formatted("this build has no CUDA code, which the kernel \"{}\" is", plan.kernel));
  }
  return {.problem = problem,
          .plan = plan,
          .kernel = &kernel,
          .launch_data = kernel.prepare == nullptr ? nullptr : kernel.prepare(plan, problem)};
}

std::size_t conv2d_workspace_bytes(const PreparedConv2d& conv, const Conv2dHalves& halves) {
  std::size_t bytes = conv.plan.workspace_bytes;
  if (conv.plan.arithmetic == Arithmetic::fp16) {
    const Conv2dPass pass = conv.plan.pass;
    const auto saved = [&](const void* given, std::int64_t elements, Conv2dPass result) {
      return given != nullptr && pass != result ? halves_bytes(elements) : 0;
    };
    const Conv2dProblem& p = conv.problem;
    bytes -= saved(halves.x, x_elements(p), Conv2dPass::backward_data) +
             saved(halves.w, w_elements(p), Conv2dPass::backward_filter) +
             saved(halves.y, y_elements(p), Conv2dPass::forward);
  }
  return bytes;
}

std::int64_t conv2d_sum_rows(const PreparedConv2d& conv) {
  const auto sum_rows = conv.kernel->sum_rows;
  const bool takes = conv.plan.pass == Conv2dPass::forward && conv.problem.OC % 8 == 0;
  return takes && sum_rows != nullptr ? sum_rows(conv) : 0;
}

void conv2d_make_halves([[maybe_unused]] std::span<const HalvesJob> jobs) {
#if CKS_HAS_CUDA
  cuda::make_halves("conv2d", jobs);
#else
  throw DeviceError("conv2d: halves are made on a GPU, and this build has no CUDA code");
#endif
}

std::int64_t run_conv2d(const PreparedConv2d& conv, const void* first, const void* second,
                        const Epilogue& epilogue, void* result, void* workspace,
                        const Conv2dHalves& halves) {
  const Conv2dProblem& p = conv.problem;
  const Conv2dPass pass = conv.plan.pass;
  Conv2dOperands operands{first, second, nullptr, result, epilogue, workspace, halves};
  if (pass == Conv2dPass::backward_data) {
    operands = {nullptr, second, first, result, epilogue, workspace, halves};
  } else if (pass == Conv2dPass::backward_filter) {
    operands = {first, nullptr, second, result, {}, workspace, halves};
  }
  const std::size_t bytes = conv2d_workspace_bytes(conv, operands.halves);
  if (operands.workspace == nullptr && bytes > 0) {
    fail(pass, p, formatted("workspace is null, expected {} bytes", bytes));
  }
  const bool is_masked = operands.epilogue.mask != nullptr;
  if (is_masked && (pass != Conv2dPass::backward_data || conv.kernel->compute_capability == 0 ||
                    p.x_pitch != p.IC)) {
    fail(pass, p, "a mask is for a dense input gradient on a GPU");
  }
  const Epilogue& end = operands.epilogue;
  if (end.channel_sums != nullptr && conv2d_sum_rows(conv) == 0) {
    fail(pass, p, formatted("the plan \"{}\" leaves no sums of channels", conv.plan));
  }
  const bool masks = is_masked && conv.kernel->masks.contains(conv.plan.arithmetic) &&
                     p.IC % 8 == 0 && TypedEpilogue<float>(end).is_plain &&
                     reinterpret_cast<std::uintptr_t>(end.mask) % 16 == 0;
  Conv2dOperands given = operands;
  if (!masks) {
    given.epilogue.mask = nullptr;
  }
  const std::int64_t executed = conv.kernel->run(conv, given);
  if (is_masked && !masks) {
    mask_result(p, operands);
  }
  return executed;
}

}  // namespace cks::kernels
