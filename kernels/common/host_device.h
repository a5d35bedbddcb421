#pragma once

/// Marks a function of formulas that both the CPU's and the GPU's kernels call.
#if defined(__CUDACC__)
#  define CKS_HOST_DEVICE __host__ __device__
#else
#  define CKS_HOST_DEVICE
#endif
