#pragma once
#include "cks/config.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

/// The kernels for first layers, on tensor cores from compute capability 8.0 on.
namespace cks::kernels::stem {

extern const Conv2dKernel stem;       // stem_kernels.cpp, stem.cu
extern const Conv2dKernel stem_taps;  // stem_kernels.cpp, stem_taps.cu

std::int64_t run_stem(const PreparedConv2d& conv, const Conv2dOperands& operands);
std::int64_t run_stem_taps(const PreparedConv2d& conv, const Conv2dOperands& operands);

}  // namespace cks::kernels::stem
