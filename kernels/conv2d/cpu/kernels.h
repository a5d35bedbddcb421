#pragma once
#include "cks/kernels/conv2d/kernel.h"

/// The kernels of the CPU, each defined beside its code.
namespace cks::kernels::cpu {

extern const Conv2dKernel simd;       // simd.cpp
extern const Conv2dKernel reference;  // ../reference.cpp

}  // namespace cks::kernels::cpu
