#pragma once
#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/conv2d/kernel.h"

namespace cks::kernels {

/// The kernels of the CPU, each defined beside its code.
CKS_CPU_FUNCTION(const Conv2dKernel&, simd, ());       // simd.cpp
CKS_CPU_FUNCTION(const Conv2dKernel&, reference, ());  // ../reference.cpp

/// The vectors that simd uses, for describe_cpu().
CKS_CPU_FUNCTION(DeviceDescription, describe, ());

}  // namespace cks::kernels
