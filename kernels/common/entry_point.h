#pragma once

/// Declares a function for both backends, with default arguments once:
///
///   kernels::cpu::f    on memory of the host, done when it returns; the result does not depend on
///                      the number of threads
///   kernels::cuda::f   the same on memory of the current device, queued on current_stream()
///
/// CKS_ENTRY_POINT(void relu(std::int64_t count, const float* x, float* y));
/// `CKS_KERNEL` of core/device/dispatch.h calls the one that fits a device.
#define CKS_ENTRY_POINT(...) \
  namespace cpu {            \
  __VA_ARGS__;               \
  }                          \
  namespace cuda {           \
  __VA_ARGS__;               \
  }                          \
  static_assert(true)
