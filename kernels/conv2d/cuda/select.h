#pragma once
#include <vector>

#include "cks/kernels/conv2d/plan.h"

/// Plans of the CUDA backend; pure, so that they can be tested without a GPU.
namespace cks::kernels::cuda {

/// Kinds of kernels that a plan stands for, told by its tile.
enum class ConvKernel : std::uint8_t {
  tiled,   // trimmed_correlation.cu, sk_dilated.cu
  narrow,  // narrow_correlation.cu
  window,  // window_correlation.cu, window_gradient.cu
  direct,  // direct.cu
};
ConvKernel kernel_of(const Conv2dPlan& plan);

/// True if the plan's kernel takes the problem: the plan may come from a file or another problem.
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& problem);

/// Every plan that takes the problem, the one expected to be fastest first, the reference last.
std::vector<Conv2dPlan> possible_plans(Conv2dPass pass, const Conv2dProblem& problem,
                                       const DeviceDescription& device);

}  // namespace cks::kernels::cuda
