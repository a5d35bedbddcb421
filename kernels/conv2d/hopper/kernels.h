#pragma once
#include "cks/config.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

/// The kernels for tensor cores of compute capability 9.0. As with all kernels of the CUDA backend,
/// what they plan is host code that every build has.
namespace cks::kernels::hopper {

extern const Conv2dKernel box;          // box_kernels.cpp, box.cu
extern const Conv2dKernel pointwise;    // box_kernels.cpp, pointwise.cu
extern const Conv2dKernel planes;       // box_kernels.cpp, planes.cu
extern const Conv2dKernel halo;         // halo.cpp, halo.cu
extern const Conv2dKernel box_taps;     // gradient_kernels.cpp, taps.cu
extern const Conv2dKernel planes_taps;  // gradient_kernels.cpp, taps.cu
extern const Conv2dKernel patch_taps;   // patch_kernels.cpp, patches.cu
extern const Conv2dKernel place_taps;   // patch_kernels.cpp, patches.cu

std::int64_t run_box(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_pointwise(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_planes(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_taps(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_halo(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t halo_sum_rows(const PreparedConv2d& conv);
std::int64_t run_patches(const PreparedConv2d& conv, const Conv2dOperands& operands);

}  // namespace cks::kernels::hopper
