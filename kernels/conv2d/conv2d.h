#pragma once
#include <cstdint>
#include <memory>

#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/problem.h"

/// The three passes of a convolution as three entry points, the same for all backends: the plan's
/// kernel says where it runs.
namespace cks::kernels {

struct Conv2dKernel;

/// A plan that was checked against its problem, with all that its launches have in common. Made
/// once, run often, from any thread.
struct PreparedConv2d {
  Conv2dProblem problem;
  Conv2dPlan plan;
  const Conv2dKernel* kernel = nullptr;
  std::shared_ptr<const void> launch_data{};  // of the kernel's own type

  template <class T>
  const T& data() const {
    return *static_cast<const T*>(launch_data.get());
  }
};

/// Throws PlanError if the device has no such kernel, or the kernel not such a plan for this
/// problem; DtypeError for types that the kernel does not read.
PreparedConv2d prepare_conv2d(const Conv2dProblem& problem, const Conv2dPlan& plan,
                              const DeviceDescription& device);

/// Each takes a plan of its own pass (PlanError otherwise), overwrites its result completely,
/// allocates nothing, and needs plan.workspace_bytes bytes of workspace, 64-byte aligned (may be
/// null if 0). Each returns the multiply-adds it executed, counted where a product is issued (m*n*k
/// of each inner product), never by a formula.
/// On the CPU the results do not depend on the number of threads. On a GPU all pointers are device
/// memory, and the work is queued on current_stream().

/// Y = epilogue(X * W). N = 0 writes nothing.
std::int64_t conv2d_forward(const PreparedConv2d& conv, const void* x, const void* w,
                            const Epilogue& epilogue, void* y, void* workspace);

/// dX = epilogue(gradient) from dY and W. Pixels that no output reads have the gradient 0. The
/// epilogue, over IC channels, serves the transposed convolution's forward pass.
std::int64_t conv2d_backward_data(const PreparedConv2d& conv, const void* dy, const void* w,
                                  const Epilogue& epilogue, void* dx, void* workspace);

/// dW from X and dY. N = 0 writes zeros.
std::int64_t conv2d_backward_filter(const PreparedConv2d& conv, const void* x, const void* dy,
                                    void* dw, void* workspace);

}  // namespace cks::kernels
