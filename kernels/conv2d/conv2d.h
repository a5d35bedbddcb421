#pragma once
#include <cstdint>
#include <memory>
#include <span>

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

/// Operands in float16 (halves/halves.h) that the caller has already: plans in fp16 multiply those,
/// and make what is null in their workspace.
struct Conv2dHalves {
  const void* x = nullptr;
  const void* w = nullptr;
  const void* y = nullptr;
};

struct HalvesJob;  // halves/halves.h

/// Makes halves of operands of a problem's passes in fp16 (halves.h says how), at most two. On a
/// GPU's current_stream().
void conv2d_make_halves(std::span<const HalvesJob> jobs);

/// Bytes of workspace that a call needs: plan.workspace_bytes, less what `halves` saves.
std::size_t conv2d_workspace_bytes(const PreparedConv2d& conv, const Conv2dHalves& halves);

/// Rows of Epilogue::channel_sums that a pass leaves where they are wanted; 0: the kernel has none.
std::int64_t conv2d_sum_rows(const PreparedConv2d& conv);

/// Throws PlanError if the device has no such kernel, or the kernel not such a plan for this
/// problem; DtypeError for types that the kernel does not read.
PreparedConv2d prepare_conv2d(const Conv2dProblem& problem, const Conv2dPlan& plan,
                              const DeviceDescription& device);

/// Runs the pass of the plan:
///
///   forward          Y = epilogue(X * W), from X and W; N = 0 writes nothing
///   backward_data    dX = epilogue(gradient), from dY and W. Pixels that no output reads have the
///                    gradient 0. The epilogue, over IC channels, serves the transposed
///                    convolution's forward pass, its mask the gradient of what an activation made
///   backward_filter  dW, from X and dY, without an epilogue; N = 0 writes zeros
///
/// It overwrites its result completely, allocates nothing, and needs conv2d_workspace_bytes() of
/// workspace, 64-byte aligned (may be null if 0). Returns the multiply-adds it executed, counted
/// where a product is issued (m*n*k of each inner product), never by a formula.
/// On the CPU the results do not depend on the number of threads. On a GPU all pointers are device
/// memory, and the work is queued on current_stream().
std::int64_t run_conv2d(const PreparedConv2d& conv, const void* first, const void* second,
                        const Epilogue& epilogue, void* result, void* workspace,
                        const Conv2dHalves& halves = {});

}  // namespace cks::kernels
