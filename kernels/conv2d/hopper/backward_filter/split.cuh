#pragma once
#include "cks/kernels/common/math.h"
#include "cks/kernels/hopper/matrix.cuh"
#include "cks/kernels/hopper/pipeline.cuh"
#include "cks/kernels/hopper/window.h"

/// How the warpgroup that copies splits float32 into planes of bfloat16 (plane_products.h) on the
/// way: what the copy engine brings waits in stages of its own ("unsplit") until all 128 threads
/// have written its planes to a stage of the ring that the other warpgroups multiply from.
namespace cks::kernels::hopper {

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

/// Splits rows: a thread takes 8 channels of every 16th.
template <int kPlanes>
__device__ __forceinline__ void split_rows(unsigned char* unsplit, unsigned char* planes,
                                           int plane_bytes, int offset, int positions) {
  // Eight threads side by side have half of the channels of two rows, whose numbers differ in bits
  // 0 and 2: so swizzled they meet in no bank, neither reading nor writing.
  const int thread = static_cast<int>(threadIdx.x);
  const int quarter = thread % 4, half = thread / 8 % 2;
  const int row7 = (thread / 16 % 4) ^ (thread / 4 % 2 * 5), first = thread / 64 * 8 + row7;
  const unsigned char* const from =
      unsplit_at(unsplit, offset, positions, half) + first * kRowBytes;
  unsigned char* const to =
      planes + offset + first * kRowBytes + (((half * 4 + quarter) ^ row7) << 4);
  const int lower = ((quarter * 2) ^ row7) << 4;
  constexpr int kStep = 16 * kRowBytes;
  constexpr int kAtOnce = 2;  // rows that are read before one is written
  for (int row = first; row < positions; row += kAtOnce * 16) {
    float4 read[kAtOnce][2];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (row + i * 16 < positions) {
        const unsigned char* const here = from + (row - first) * kRowBytes + i * kStep;
        read[i][0] = *reinterpret_cast<const float4*>(here + lower);
        read[i][1] = *reinterpret_cast<const float4*>(here + (lower ^ 16));
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float4 &a = read[i][0], &b = read[i][1];
      float rest[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
      for (int plane = 0; plane < kPlanes; ++plane) {
        std::uint32_t pairs[4];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
          pairs[pair] = split_off(rest[2 * pair], rest[2 * pair + 1]);
        }
        if (row + i * 16 < positions) {
          *reinterpret_cast<uint4*>(to + plane * plane_bytes + (row - first) * kRowBytes +
                                    i * kStep) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
      }
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
