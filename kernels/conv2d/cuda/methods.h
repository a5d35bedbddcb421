#pragma once
#include <cstdint>

#include "cks/kernels/conv2d/plan.h"

/// The methods behind the CUDA entry points of conv2d.h. Each returns the multiply-adds it
/// executes.
namespace cks::kernels::cuda {

/// ConvV2 (forward) and KS-deconv (backward_data) by tiles of plan.tile_rows positions x
/// plan.tile_lanes lanes; problems that takes_correlation() (correlation.h) accepts.
std::int64_t trimmed_correlation(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                 const float* source, const float* filter, const float* bias,
                                 float* target);
/// The same for few channels; the sub-filter of a tile must fit into 48 KiB of shared memory.
std::int64_t narrow_correlation(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                const float* source, const float* filter, const float* bias,
                                float* target);

/// The same for few channels at stride 1; problems that takes_windows() (window.h) accepts.
std::int64_t window_correlation(const Conv2dProblem& problem, const Conv2dPlan& plan,
                                const float* source, const float* filter, const float* bias,
                                float* target);

/// Sk-dilated by tiles; the slices' partial sums lie in workspace and are added in order. A granule
/// other than 1 merges taps and input channels.
std::int64_t sk_dilated_tiled(const Conv2dProblem& problem, const Conv2dPlan& plan, const float* x,
                              const float* dy, float* dw, float* workspace);

/// Sk-dilated with bands of images in shared memory, for problems that takes_windows() accepts.
std::int64_t window_gradient(const Conv2dProblem& problem, const Conv2dPlan& plan, const float* x,
                             const float* dy, float* dw, float* workspace);

/// out[i] = partial[0][i] + partial[1][i] + ..., in an order of the number of slices alone.
void add_slices(const float* partial, float* out, std::int64_t size, std::int64_t slices);
void add_slices(const double* partial, double* out, std::int64_t size, std::int64_t slices);

/// Any problem, one thread an element; Sum is the accumulator. All execute exactly V.
template <class T, class Sum>
void direct_forward(const Conv2dProblem& problem, const T* x, const T* w, const T* bias, T* y);
template <class T, class Sum>
void direct_backward_data(const Conv2dProblem& problem, const T* dy, const T* w, const T* bias,
                          T* dx);
template <class T, class Sum>
void direct_backward_filter(const Conv2dProblem& problem, const T* x, const T* dy, T* dw,
                            T* workspace, std::int64_t slices);

}  // namespace cks::kernels::cuda
