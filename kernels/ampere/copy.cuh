#pragma once
#include <cstdint>

/// Copies into shared memory that run while the block multiplies, from compute capability 8.0 on.
/// Each function is one instruction.
/// Source  "cp.async", PTX ISA 9.0.
namespace cks::kernels::ampere {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Copies the first `bytes` of kBytes (4, 8 or 16) and fills the rest with zeros. Both places are
/// multiples of kBytes; nothing is read for 0 bytes.
template <int kBytes>
__device__ __forceinline__ void copy_async(std::uint32_t to, const void* from, int bytes) {
  if constexpr (kBytes == 16) {  // past the first cache, which the next block does not share
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                 "r"(bytes)
                 : "memory");
  }
}

/// Ends a group of the thread's copies, which may be empty.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Until at most kPending groups of the thread are unfinished.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Copies and multiplies at the same time, with all threads of the block: copy(stage) asks for the
/// copies of the next step, multiply(stage) reads those of a step that has arrived. kStages >= 2.
template <int kStages, class Copy, class Multiply>
__device__ __forceinline__ void run_pipeline(int steps, Copy&& copy, Multiply&& multiply) {
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      copy(stage);
    }
    commit_copies();
  }
  int stage = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();  // the thread's own of this step
    __syncthreads();                 // everybody's; and the stage before this one has been read
    if (step + kStages - 1 < steps) {
      copy(stage == 0 ? kStages - 1 : stage - 1);
    }
    commit_copies();
    multiply(stage);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
}

}  // namespace cks::kernels::ampere
