#pragma once
#include <cstdint>

/// Copies into shared memory that run while the block multiplies, from compute capability 8.0 on.
/// Each function is one instruction.
/// Source  "cp.async", PTX ISA 9.0.
namespace cks::kernels::ampere {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Copies kBytes (4, 8 or 16), or fills them with zeros and reads nothing. Both places are
/// multiples of kBytes.
template <int kBytes>
__device__ __forceinline__ void copy_async(std::uint32_t to, const void* from, bool is_there) {
  const int is_missing = is_there ? 0 : 1;
  if constexpr (kBytes == 16) {  // past the first cache, which the next block does not share
    asm volatile(
        "{\n.reg .pred missing;\nsetp.ne.s32 missing, %2, 0;\n"
        "cp.async.cg.shared.global [%0], [%1], 16, missing;\n}" ::"r"(to),
        "l"(from), "r"(is_missing)
        : "memory");
  } else {
    asm volatile(
        "{\n.reg .pred missing;\nsetp.ne.s32 missing, %2, 0;\n"
        "cp.async.ca.shared.global [%0], [%1], %3, missing;\n}" ::"r"(to),
        "l"(from), "r"(is_missing), "n"(kBytes)
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

/// Copies and multiplies at the same time, with all threads of the block, through a ring of
/// K::kStages stages of K::kStageBytes from `base` on. copies.copy(to, exists) asks for the copies
/// of a step, or fills with zeros behind the last; copies.advance() goes on to the next.
/// multiply(stage, copy_next) reads a step that has arrived, and calls copy_next() once, where the
/// copies of a later one are best asked for.
template <class K, class Copies, class Multiply>
__device__ __forceinline__ void run_pipeline(int steps, std::uint32_t base, Copies& copies,
                                             Multiply&& multiply) {
  constexpr int kAhead = K::kStages - 1;
#pragma unroll 1
  for (int stage = 0; stage < kAhead; ++stage) {
    copies.copy(base + stage * K::kStageBytes, stage < steps);
    commit_copies();
    copies.advance();
  }
  int stage = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kAhead - 1>();  // the thread's own of this step
    __syncthreads();                // everybody's; and the stage before this one has been read
    const int free = stage == 0 ? kAhead : stage - 1;
    multiply(base + stage * K::kStageBytes, [&] {
      copies.copy(base + free * K::kStageBytes, step + kAhead < steps);
      commit_copies();
    });
    copies.advance();
    stage = stage + 1 == K::kStages ? 0 : stage + 1;
  }
}

}  // namespace cks::kernels::ampere
