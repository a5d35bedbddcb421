#pragma once
#include "cks/kernels/hopper/async.cuh"
#include "cks/kernels/hopper/wgmma.cuh"

/// How a block copies and multiplies at the same time: two threads of the first of its three
/// warpgroups ask for copies into the stages of a ring, the other two warpgroups multiply what is
/// there. (One thread asks for a copy every 115 ns or so, too few for small ones.)
namespace cks::kernels::hopper {

inline constexpr int kPipelineThreads = 384;

/// The ring's barriers, in shared memory.
template <int kStages>
struct Ring {
  std::uint64_t full[kStages], empty[kStages];

  /// By one thread, before the block's first __syncthreads(). A stage is empty after `releases`.
  __device__ __forceinline__ void init(int releases) {
    for (int stage = 0; stage < kStages; ++stage) {
      init_barrier(&full[stage], 1);
      init_barrier(&empty[stage], releases);
    }
    publish_barriers();
  }
};

/// The stages' memory, after the ring's barriers are there for all threads of the block.
template <int kStages>
__device__ __forceinline__ unsigned char* begin_pipeline(unsigned char* raw, Ring<kStages>& ring,
                                                         int releases) {
  if (threadIdx.x == 0) {
    ring.init(releases);
  }
  __syncthreads();
  return aligned_shared(raw);
}

/// A thread's warpgroup, of which the compiler sees that it is its whole warp's.
__device__ __forceinline__ int warpgroup_of_warp() {
  return __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / 128, 0);
}

/// copy() by the first warpgroup, multiply(0) and multiply(1) by the others, which get the
/// registers that it gives. 128 * (copying + 2 * multiplying) <= 65536.
/// warpgroup: where products stand under conditions, warpgroup_of_warp().
template <int kCopying, int kMultiplying, class Copy, class Multiply>
__device__ __forceinline__ void run_warpgroups(Copy&& copy, Multiply&& multiply,
                                               int warpgroup = static_cast<int>(threadIdx.x) /
                                                               128) {
  if (warpgroup == 0) {
    give_registers<kCopying>();
    copy();
  } else {
    take_registers<kMultiplying>();
    multiply(warpgroup - 1);
  }
}

/// The same with copy(0) and copy(1) by one thread each, of which one says how many bytes a stage
/// waits for.
template <int kCopying, int kMultiplying, class Copy, class Multiply>
__device__ __forceinline__ void run_pipeline(Copy&& copy, Multiply&& multiply) {
  run_warpgroups<kCopying, kMultiplying>(
      [&] {
        if (threadIdx.x % 32 == 0 && threadIdx.x < 64) {
          copy(static_cast<int>(threadIdx.x) / 32);
        }
      },
      multiply);
}

/// The products of `steps` stages: issue(stage, adds) fences and issues those of one,
/// release(stage) says that it has been read.
template <int kStages, class Issue, class Release>
__device__ __forceinline__ void multiply_steps(Ring<kStages>& ring, RingPosition<kStages>& at,
                                               int steps, Issue&& issue, Release&& release) {
  int before = 0;
  for (int step = 0; step < steps; ++step) {
    wait(&ring.full[at.stage], at.parity);
    issue(at.stage, step > 0);
    commit_products();
    wait_for_products<1>();  // the step before has been read
    if (step > 0) {
      release(before);
    }
    before = at.stage;
    at.advance();
  }
  wait_for_products<0>();
  release(before);
}

/// The same with sums that are cut after every stage: issue(stage) begins `products` at zero, and
/// they are added to `sums`, which begin there too.
template <int kStages, int kSums, class Issue, class Release>
__device__ __forceinline__ void multiply_cut_steps(Ring<kStages>& ring, RingPosition<kStages>& at,
                                                   int steps, const float (&products)[kSums],
                                                   float (&sums)[kSums], Issue&& issue,
                                                   Release&& release) {
#pragma unroll
  for (float& sum : sums) {
    sum = 0.0F;
  }
  for (int step = 0; step < steps; ++step) {
    wait(&ring.full[at.stage], at.parity);
    issue(at.stage);
    commit_products();
    wait_for_products<0>();
    release(at.stage);
    at.advance();
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      sums[i] += products[i];
    }
  }
}

}  // namespace cks::kernels::hopper
