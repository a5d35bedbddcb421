#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/problem.h"

/// The three passes of a convolution as three entry points. Each takes a plan of its own pass
/// (PlanError otherwise), overwrites its result completely, allocates nothing, and needs
/// plan.workspace_bytes bytes of workspace, 64-byte aligned (may be null if 0).
/// Each returns the multiply-adds it executed, counted where a product is issued (m*n*k of each
/// inner product), never by a formula.
/// The results do not depend on the number of threads.
namespace cks::kernels::cpu {

/// Y = X * W + bias. bias [OC] may be null. N = 0 writes nothing.
std::int64_t conv2d_forward(const Conv2dProblem& problem, const Conv2dPlan& plan, const void* x,
                            const void* w, const void* bias, void* y, void* workspace);

/// dX from dY and W. Pixels that no output reads are written as 0. bias [IC] may be null; it is
/// added to every pixel, for the transposed convolution's forward pass.
std::int64_t conv2d_backward_data(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                  const void* dy, const void* w, const void* bias, void* dx,
                                  void* workspace);

/// dW from X and dY. N = 0 writes zeros.
std::int64_t conv2d_backward_filter(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                    const void* x, const void* dy, void* dw, void* workspace);

}  // namespace cks::kernels::cpu

/// As the functions of cpu, on device memory, queued on current_stream().
namespace cks::kernels::cuda {

std::int64_t conv2d_forward(const Conv2dProblem& problem, const Conv2dPlan& plan, const void* x,
                            const void* w, const void* bias, void* y, void* workspace);
std::int64_t conv2d_backward_data(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                  const void* dy, const void* w, const void* bias, void* dx,
                                  void* workspace);
std::int64_t conv2d_backward_filter(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                    const void* x, const void* dy, void* dw, void* workspace);

}  // namespace cks::kernels::cuda
