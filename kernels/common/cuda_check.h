#pragma once
#include <cuda_runtime_api.h>

#include "cks/kernels/common/error.h"

/// Runs a call of the CUDA runtime; throws CudaError with the call, CUDA's name and text for what
/// went wrong, and the place.
#define CKS_CUDA_CHECK(call) ::cks::kernels::cuda::check((call), #call, __FILE__, __LINE__)

namespace cks::kernels::cuda {

void check(cudaError_t status, const char* call, const char* file, int line);

}  // namespace cks::kernels::cuda
