#pragma once
#include <cuda_runtime_api.h>

#include "cks/kernels/common/error.h"

/// Runs a call of the CUDA runtime; throws CudaError with the call, CUDA's name and text for what
/// went wrong, and the place.
#define CKS_CUDA_CHECK(call) ::cks::kernels::cuda::check((call), #call, __FILE__, __LINE__)

namespace cks::kernels::cuda {

void check(cudaError_t status, const char* call, const char* file, int line);

/// After each launch: throws CudaError, naming the operation, if it could not be queued. In debug
/// builds, and with CKS_SYNC_CHECK=1 in the environment (0: not even there), waits for it as well,
/// so that an error on the device names the operation that caused it. Nothing waits while a step is
/// being recorded. Throws Error for another value of CKS_SYNC_CHECK.
void finish_launch(const char* operation);

}  // namespace cks::kernels::cuda
