#pragma once
#include "cks/config.h"
#include "cks/kernels/conv2d/kernel.h"

/// The kernels of the CUDA backend. What they plan is host code that a build without CUDA has too,
/// so that it can be tested without a GPU; what they run is in .cu files.
namespace cks::kernels::cuda {

extern const Conv2dKernel tiled;        // region_kernels.cpp, tiled.cu
extern const Conv2dKernel thin;         // region_kernels.cpp, thin.cu
extern const Conv2dKernel band;         // band_kernels.cpp, band.cu
extern const Conv2dKernel tiled_taps;   // gradient_kernels.cpp, tiled_taps.cu
extern const Conv2dKernel merged_taps;  // gradient_kernels.cpp, tiled_taps.cu
extern const Conv2dKernel band_taps;    // band_kernels.cpp, band_taps.cu
extern const Conv2dKernel as_gemm;      // gemm_kernels.cpp
extern const Conv2dKernel direct;       // direct_kernels.cpp, direct.cu
extern const Conv2dKernel reference;    // direct_kernels.cpp, direct.cu

/// The function of a .cu file in a table: null in a build without CUDA.
#if CKS_HAS_CUDA
#  define CKS_CUDA_CODE(function) function
#else
#  define CKS_CUDA_CODE(function) nullptr
#endif

std::int64_t run_tiled(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_thin(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_band(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_tiled_taps(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_merged_taps(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_band_taps(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_direct(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_reference(const PreparedConv2d& conv, const Conv2dOperands& operands);

/// Where a filter gradient's slices of sums go, each as dW lies; one is the result.
inline void* gradient_slices(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return conv.plan.split_k > 1 ? operands.workspace : operands.result;
}
/// Adds the slices to the result, in an order of split_k alone, if there are more than one.
void add_gradient_slices(const PreparedConv2d& conv, const Conv2dOperands& operands);

}  // namespace cks::kernels::cuda
