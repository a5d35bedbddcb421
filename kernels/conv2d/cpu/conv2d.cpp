#include "cks/kernels/conv2d/conv2d.h"

#include <string>

#include "cks/kernels/common/error.h"
#include "cks/kernels/conv2d/cpu/layout.h"
#include "cks/kernels/conv2d/cpu/methods.h"
#include "cks/kernels/conv2d/reference.h"

// The three entry points: check that plan, problem and workspace belong together, then call the
// plan's method. A plan of another pass or another machine is an error, never replaced.
namespace cks::kernels::cpu {
namespace {

[[noreturn]] void fail(Conv2dPass pass, const Conv2dProblem& problem, const std::string& what) {
  throw PlanError(std::string("conv2d ") + name_of(pass) + ": " + what + " (" + to_string(problem) +
                  ")");
}

constexpr const char* operation_of(Conv2dPass pass) {
  switch (pass) {
    case Conv2dPass::forward:
      return "conv2d forward";
    case Conv2dPass::backward_data:
      return "conv2d backward_data";
    case Conv2dPass::backward_filter:
      break;
  }
  return "conv2d backward_filter";
}

/// Calls method(T{}) with the problem's dtype, after the checks that every method shares.
template <class Method>
std::int64_t run_method(const Conv2dProblem& problem, const Conv2dPlan& plan, const void* workspace,
                        Method&& method) {
  if (problem.x_type != problem.w_type || problem.x_type != problem.y_type) {
    throw DtypeError(std::string(operation_of(plan.pass)) + ": dtypes of X, W and Y are " +
                     name_of(problem.x_type) + ", " + name_of(problem.w_type) + ", " +
                     name_of(problem.y_type) + ", expected one dtype (" + to_string(problem) + ")");
  }
  return visit_real(operation_of(plan.pass), problem.x_type, [&](auto zero) -> std::int64_t {
    const Conv2dPlan own = unexplained_plan(plan.pass, problem, kSimdBytes);
    if (own.algorithm != plan.algorithm) {
      fail(plan.pass, problem,
           std::string("the plan names ") + name_of(plan.algorithm) + ", expected " +
               name_of(own.algorithm) + " or reference");
    }
    if (own.tile_rows != plan.tile_rows || own.tile_lanes != plan.tile_lanes ||
        own.granule != plan.granule || own.slices != plan.slices ||
        own.workspace_bytes != plan.workspace_bytes) {
      fail(plan.pass, problem,
           "the plan is of another problem or another instruction set: it says \"" +
               plan.to_string() + "\", expected \"" + own.to_string() + "\"");
    }
    if (workspace == nullptr && plan.workspace_bytes > 0) {
      fail(plan.pass, problem,
           "workspace is null, expected " + std::to_string(plan.workspace_bytes) + " bytes");
    }
    return method(zero);
  });
}

void check_pass(Conv2dPass pass, const Conv2dProblem& problem, const Conv2dPlan& plan) {
  if (plan.pass != pass) {
    fail(pass, problem, std::string("the plan is for ") + name_of(plan.pass));
  }
}

template <class T>
const T* as(const void* pointer) {
  return static_cast<const T*>(pointer);
}

}  // namespace

std::int64_t conv2d_forward(const Conv2dProblem& problem, const Conv2dPlan& plan, const void* x,
                            const void* w, const void* bias, void* y, void* workspace) {
  check_pass(Conv2dPass::forward, problem, plan);
  if (plan.algorithm == Conv2dAlgorithm::reference) {
    return reference_forward(problem, x, w, bias, y);
  }
  return run_method(problem, plan, workspace, [&](auto zero) {
    using T = decltype(zero);
    return convv2(problem, as<T>(x), as<T>(w), as<T>(bias), static_cast<T*>(y), workspace);
  });
}

std::int64_t conv2d_backward_data(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                  const void* dy, const void* w, const void* bias, void* dx,
                                  void* workspace) {
  check_pass(Conv2dPass::backward_data, problem, plan);
  if (plan.algorithm == Conv2dAlgorithm::reference) {
    return reference_backward_data(problem, dy, w, bias, dx);
  }
  return run_method(problem, plan, workspace, [&](auto zero) {
    using T = decltype(zero);
    return ks_deconv(problem, as<T>(dy), as<T>(w), as<T>(bias), static_cast<T*>(dx), workspace);
  });
}

std::int64_t conv2d_backward_filter(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                    const void* x, const void* dy, void* dw, void* workspace) {
  check_pass(Conv2dPass::backward_filter, problem, plan);
  if (plan.algorithm == Conv2dAlgorithm::reference) {
    return reference_backward_filter(problem, x, dy, dw);
  }
  return run_method(problem, plan, workspace, [&](auto zero) {
    using T = decltype(zero);
    return sk_dilated(problem, as<T>(x), as<T>(dy), static_cast<T*>(dw), workspace);
  });
}

}  // namespace cks::kernels::cpu
