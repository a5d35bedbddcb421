#pragma once
#include "cks/kernels/common/math.h"
#include "cks/kernels/hopper/matrix.cuh"
#include "cks/kernels/hopper/pipeline.cuh"
#include "cks/kernels/hopper/window.h"

/// How the warpgroup that copies splits float32 into planes of bfloat16 (plane_products.h) on the
/// way: what the copy engine brings waits in stages of its own ("unsplit") until all 128 threads
/// have written its planes to a stage of the ring that the other warpgroups multiply from.
namespace cks::kernels::hopper {

inline constexpr int kSplitChannels = 64;          // of a row of a plane
inline constexpr int kUnsplitRow = kRowBytes / 4;  // channels of a row of float32
inline constexpr int kSplitBarrier = 1;

/// Barriers of the unsplit stages.
template <int kUnsplit>
struct UnsplitRing {
  std::uint64_t full[kUnsplit > 0 ? kUnsplit : 1];

  /// By one thread, before begin_pipeline(), which publishes them.
  __device__ __forceinline__ void init() {
    for (std::uint64_t& barrier : full) {
      init_barrier(&barrier, 1);
    }
  }
};

/// Where channels 32 * half on of `positions` rows wait, whose planes' rows begin at `offset` (a
/// multiple of 1024) of each plane. An unsplit stage has twice a plane's bytes.
__device__ __forceinline__ unsigned char* unsplit_at(unsigned char* unsplit, int offset,
                                                     int positions, int half) {
  return unsplit + 2 * offset + half * round_up(positions * kRowBytes, 1024);
}

/// Splits rows: a thread takes 8 channels of one at a time.
template <int kPlanes>
__device__ __forceinline__ void split_rows(unsigned char* unsplit, unsigned char* planes,
                                           int plane_bytes, int offset, int positions) {
  const int thread = static_cast<int>(threadIdx.x), chunk = thread % 8;  // of 16 bytes of a plane
  const unsigned char* const from = unsplit_at(unsplit, offset, positions, chunk / 4);
  // The upper half's threads read their second chunk first, so that none meet in a bank.
  const int first = chunk % 4 * 2 + chunk / 4;
#pragma unroll 4  // reads of several rows at once, for each takes its time
  for (int row = thread / 8; row < positions; row += 16) {
    const unsigned char* const here = from + row * kRowBytes;
    const auto read = [&](int at) {
      return *reinterpret_cast<const float4*>(here + ((at ^ (row & 7)) << 4));
    };
    const float4 one = read(first), other = read(first ^ 1);
    const float4 lower = chunk < 4 ? one : other, upper = chunk < 4 ? other : one;
    float rest[8] = {lower.x, lower.y, lower.z, lower.w, upper.x, upper.y, upper.z, upper.w};
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane) {
      std::uint32_t pairs[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        pairs[i] = split_off(rest[2 * i], rest[2 * i + 1]);
      }
      *reinterpret_cast<uint4*>(planes + plane * plane_bytes + offset + row * kRowBytes +
                                ((chunk ^ (row & 7)) << 4)) =
          make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
  }
}

/// The warpgroup that copies and splits, step after step (steps.next()): copy(step, i, barrier, a)
/// asks for part a, 0 or 1, of a step's copies into unsplit stage i, where `bytes` arrive in all;
/// split(i, stage) writes the planes.
template <int kUnsplit, int kStages, class Steps, class Copy, class Split>
__device__ __forceinline__ void split_steps(Ring<kStages>& ring, UnsplitRing<kUnsplit>& unsplit,
                                            Steps steps, int bytes, Copy&& copy, Split&& split) {
  const int thread = static_cast<int>(threadIdx.x);
  Steps ahead = steps;
  const auto copy_next = [&](int i) {
    if (ahead.next() && thread % 32 == 0 && thread < 64) {
      if (thread == 0) {
        arrive_expecting(&unsplit.full[i], bytes);
      }
      copy(ahead, i, &unsplit.full[i], thread / 32);
    }
  };
  for (int i = 0; i < kUnsplit; ++i) {
    copy_next(i);
  }
  RingPosition<kUnsplit> from(0);
  RingPosition<kStages> to(1);
  while (steps.next()) {
    wait(&unsplit.full[from.stage], from.parity);
    wait(&ring.empty[to.stage], to.parity);
    split(from.stage, to.stage);
    publish_to_copies();
    sync_threads(kSplitBarrier, 128);
    if (thread == 0) {
      arrive(&ring.full[to.stage]);
    }
    copy_next(from.stage);
    from.advance();
    to.advance();
  }
}

}  // namespace cks::kernels::hopper
