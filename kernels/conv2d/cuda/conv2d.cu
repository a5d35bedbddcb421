#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/cuda/methods.h"
#include "cks/kernels/conv2d/cuda/select.h"

// The three CUDA entry points: check that plan and problem belong together, then run the plan's
// kernel. A plan that the problem does not have is an error, never replaced.
namespace cks::kernels::cuda {
namespace {

void check_plan(Conv2dPass pass, const Conv2dProblem& problem, const Conv2dPlan& plan,
                const void* workspace) {
  const auto fail = [&](const std::string& what) {
    throw PlanError(std::string("conv2d ") + name_of(pass) + ": " + what + " (" +
                    to_string(problem) + ")");
  };
  if (plan.pass != pass) {
    fail(std::string("the plan is for ") + name_of(plan.pass));
  }
  if (workspace == nullptr && plan.workspace_bytes > 0) {
    fail("workspace is null, expected " + std::to_string(plan.workspace_bytes) + " bytes");
  }
  if (!accepts(plan, problem)) {
    fail("the plan \"" + plan.to_string() + "\" does not take this problem");
  }
}

/// Calls body(T{}, Sum{}) for a direct or reference plan.
template <class Body>
void visit_sums(const Conv2dProblem& problem, const Conv2dPlan& plan, Body&& body) {
  if (problem.x_type == DType::float64) {
    body(double{}, double{});
  } else if (plan.algorithm == Conv2dAlgorithm::reference) {
    body(float{}, double{});
  } else {
    body(float{}, float{});
  }
}

template <class T>
const T* as(const void* pointer) {
  return static_cast<const T*>(pointer);
}

auto correlation_of(const Conv2dPlan& plan) {
  switch (kernel_of(plan)) {
    case ConvKernel::narrow:
      return narrow_correlation;
    case ConvKernel::window:
      return window_correlation;
    default:
      return trimmed_correlation;
  }
}

}  // namespace

std::int64_t conv2d_forward(const Conv2dProblem& problem, const Conv2dPlan& plan, const void* x,
                            const void* w, const void* bias, void* y, void* workspace) {
  check_plan(Conv2dPass::forward, problem, plan, workspace);
  if (plan.algorithm != Conv2dAlgorithm::reference && kernel_of(plan) != ConvKernel::direct) {
    return correlation_of(plan)(problem, plan, as<float>(x), as<float>(w), as<float>(bias),
                                static_cast<float*>(y));
  }
  visit_sums(problem, plan, [&]<class T, class Sum>(T, Sum) {
    direct_forward<T, Sum>(problem, as<T>(x), as<T>(w), as<T>(bias), static_cast<T*>(y));
  });
  return exact_multiply_adds(problem);
}

std::int64_t conv2d_backward_data(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                  const void* dy, const void* w, const void* bias, void* dx,
                                  void* workspace) {
  check_plan(Conv2dPass::backward_data, problem, plan, workspace);
  if (plan.algorithm != Conv2dAlgorithm::reference && kernel_of(plan) != ConvKernel::direct) {
    return correlation_of(plan)(problem, plan, as<float>(dy), as<float>(w), as<float>(bias),
                                static_cast<float*>(dx));
  }
  visit_sums(problem, plan, [&]<class T, class Sum>(T, Sum) {
    direct_backward_data<T, Sum>(problem, as<T>(dy), as<T>(w), as<T>(bias), static_cast<T*>(dx));
  });
  return exact_multiply_adds(problem);
}

std::int64_t conv2d_backward_filter(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                    const void* x, const void* dy, void* dw, void* workspace) {
  check_plan(Conv2dPass::backward_filter, problem, plan, workspace);
  if (plan.algorithm != Conv2dAlgorithm::reference && kernel_of(plan) != ConvKernel::direct) {
    const auto run = kernel_of(plan) == ConvKernel::window ? window_gradient : sk_dilated_tiled;
    return run(problem, plan, as<float>(x), as<float>(dy), static_cast<float*>(dw),
               static_cast<float*>(workspace));
  }
  visit_sums(problem, plan, [&]<class T, class Sum>(T, Sum) {
    direct_backward_filter<T, Sum>(problem, as<T>(x), as<T>(dy), static_cast<T*>(dw),
                                   static_cast<T*>(workspace), plan.slices);
  });
  return exact_multiply_adds(problem);
}

}  // namespace cks::kernels::cuda
