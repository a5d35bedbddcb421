#pragma once
#include "cks/config.h"
#include "cks/core/device/device.h"

/// Which side of the kernels a device calls.

/// Calls an entry point of kernels for a device: CKS_KERNEL(x.device(), relu_forward(args...)).
#if CKS_HAS_CUDA
#  define CKS_KERNEL(device, call) \
    (::cks::ops::select_cuda(device) ? ::cks::kernels::cuda::call : ::cks::kernels::cpu::call)
#else
#  define CKS_KERNEL(device, call) (::cks::ops::require_compiled(device), ::cks::kernels::cpu::call)
#endif

namespace cks::ops {

/// Throws DeviceError, with the reason, if the device cannot be used by this build.
void require_compiled(Device device);

/// True, with the device made this thread's current one, for a CUDA device; false for the CPU.
/// Throws DeviceError, with the reason, if the device cannot be used.
bool select_cuda(Device device);

}  // namespace cks::ops
