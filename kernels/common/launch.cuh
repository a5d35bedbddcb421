#pragma once
#include <cstdint>
#include <string>

#include "cks/kernels/common/cuda_check.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/common/stream.h"

namespace cks::kernels::cuda {

/// Blocks of `threads` for `count` elements, one element a thread at most 2^31-1 blocks; kernels
/// loop over what is left (grid-stride).
inline unsigned grid_for(std::int64_t count, int threads, std::int64_t most = 1 << 20) {
  const std::int64_t blocks = ceil_div(count, threads);
  return static_cast<unsigned>(blocks < 1 ? 1 : (blocks < most ? blocks : most));
}

/// Threads that every multiprocessor of the architecture holds: launch bounds beyond are errors.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr int kResidentThreads = 1024;
#else
inline constexpr int kResidentThreads = 1536;
#endif

/// The first statement of every kernel. Where the GPU can (compute capability 9.0 on), a kernel is
/// launched as soon as the blocks of the one before it have ended, and waits here until their
/// results are in memory: the gap between small kernels shrinks. (Launched earlier yet, blocks
/// would crowd on the multiprocessors that the kernel before leaves idle.)
__device__ __forceinline__ void begin_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Whether kernels may be launched before the one ahead has ended: their code waits by itself.
bool kernels_overlap();

/// The only kernel launch of the project: queues on the current stream, checks the grid's limits,
/// throws CudaError naming the operation.
/// The kernel begins with begin_kernel().
template <class... Parameters, class... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            std::size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return;
  }
  if (grid.y > 65535 || grid.z > 65535) {
    throw CudaError(std::string(operation) + ": grid " + std::to_string(grid.x) + "x" +
                    std::to_string(grid.y) + "x" + std::to_string(grid.z) +
                    " exceeds 65535 in y or z");
  }
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(current_stream());
  config.attrs = &overlap;
  config.numAttrs = kernels_overlap() ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  finish_launch(operation);
}

}  // namespace cks::kernels::cuda
