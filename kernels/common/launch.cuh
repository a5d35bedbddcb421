#pragma once
#include <cstddef>
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

/// What a launch needs beyond grid and block; a number alone is its dynamic shared memory.
struct LaunchOptions {
  std::size_t shared_bytes = 0;
  /// Blocks that share their shared memory and wait for each other; the grid is cut into such. At
  /// most 8; needs compute capability 9.0.
  dim3 cluster = dim3(1, 1, 1);

  LaunchOptions(std::size_t bytes, dim3 blocks = dim3(1, 1, 1))
      : shared_bytes(bytes), cluster(blocks) {}
};

/// Dynamic shared memory that a kernel may use unasked: 48 KiB less what it declares besides, for
/// which this leaves 32.
inline constexpr std::size_t kDefaultSharedBytes = 16 * 1024;

/// Allows a kernel that much dynamic shared memory on the current device; each kernel is asked for
/// once. Any thread. Throws CudaError, naming the operation, if the device has less.
void allow_shared_memory(const char* operation, const void* kernel, std::size_t bytes);
/// Throws CudaError, naming the operation, unless the current device can cut the grid into
/// clusters.
void require_clusters(const char* operation, dim3 grid, dim3 cluster);

/// The only kernel launch of the project: queues on the current stream, checks grid, cluster and
/// shared memory, throws CudaError naming the operation.
/// The kernel begins with begin_kernel().
template <class... Parameters, class... Arguments>
void launch(const char* operation, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            const LaunchOptions& options, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return;
  }
  if (grid.y > 65535 || grid.z > 65535) {
    throw CudaError(std::string(operation) + ": grid " + std::to_string(grid.x) + "x" +
                    std::to_string(grid.y) + "x" + std::to_string(grid.z) +
                    " exceeds 65535 in y or z");
  }
  if (options.shared_bytes > kDefaultSharedBytes) {
    allow_shared_memory(operation, reinterpret_cast<const void*>(kernel), options.shared_bytes);
  }
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (kernels_overlap()) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  const dim3 cluster = options.cluster;
  if (cluster.x * cluster.y * cluster.z != 1) {
    require_clusters(operation, grid, cluster);
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {cluster.x, cluster.y, cluster.z};
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = options.shared_bytes;
  config.stream = static_cast<cudaStream_t>(current_stream());
  config.attrs = attributes;
  config.numAttrs = count;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  finish_launch(operation);
}

}  // namespace cks::kernels::cuda
