// ConvV2 and KS-deconv in strict fp32 on the bf16 tensor cores of compute capability 9.0. Each
// float32 is the sum of three bfloat16 ("planes"), each the rounded rest of the one before; six of
// the nine products of planes matter. Positions are rows of the product, channels of the result its
// columns. Pixels are split in registers as they are read, filters beforehand in memory.
//
// The tensor core cuts its sums instead of rounding them, so a sum of float32 precision takes only
// 64 terms there, from zero, the small products first, and is then added to one in registers. What
// is infinite has no finite rest: its outputs are NaN.
// Source  products and order: Ootomo and Yokota, "Recovering single precision accuracy from Tensor
//         Cores", 2022; cut after 64: measured, relative L2 errors 1.0e-7 to 1.7e-7 up to K = 4608.
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/hopper/matrix.cuh"
#include "cks/kernels/hopper/pipeline.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kBox = 64;                      // positions: of one warpgroup
constexpr int kStep = 64;                     // source channels
constexpr int kHalfBytes = kBox * kRowBytes;  // a box of 32 float32 channels

/// kTransposed: the planes are read with their rows as the sums' terms (KS-deconv).
template <int kChannelCount, int kStageCount, bool kIsTransposed>
struct Tile {
  static constexpr int kChannels = kChannelCount, kStages = kStageCount;
  static constexpr bool kTransposed = kIsTransposed;
  static constexpr int kPlaneBytes = kChannels * kRowBytes;
  static constexpr int kStageBytes = 4 * kHalfBytes + kMostPlanes * kPlaneBytes;
  static constexpr int kSharedBytes = 1024 + kStages * kStageBytes;
  static_assert(kSharedBytes + 256 <= 227 * 1024);
};

struct Parameters {
  BoxMaps maps;
  BoxCorrelation c;
  TypedEpilogue<float> epilogue;
  float* target;
};

/// The threads that ask for the copies of a block: one for boxes, one for filters. A stage: the
/// four halves of the boxes (box 0, its upper 32 channels, box 1, its upper ones), then the planes
/// of the filter.
template <class K>
__device__ void copy_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                           UnitWalk<Place> walk, bool copies_pixels) {
  RingPosition<K::kStages> at(1);
  while (walk.next()) {
    const BoxUnit unit = unit_of(p.c, walk.index());
    each_step(p.c, p.maps, walk.group(), unit.first, unit.channel, [&](const BoxStep& step) {
      wait(&ring.empty[at.stage], at.parity);
      unsigned char* const stage = shared + at.stage * K::kStageBytes;
      std::uint64_t* const barrier = &ring.full[at.stage];
      if (copies_pixels) {
        arrive_expecting(barrier, K::kStageBytes);
#pragma unroll
        for (int half = 0; half < 4; ++half) {
          copy_pixels<false>(p.c, step, half / 2, half % 2 * (kStep / 2), stage + half * kHalfBytes,
                             barrier);
        }
      } else {
#pragma unroll
        for (int plane = 0; plane < kMostPlanes; ++plane) {
          copy_filter<K::kChannels, K::kTransposed>(p.c, &p.maps.filter, step, unit.channel, plane,
                                                    stage + 4 * kHalfBytes + plane * K::kPlaneBytes,
                                                    barrier);
        }
      }
      at.advance();
    });
  }
}

/// The planes of a thread's pixels of one step: fragments of four products of K = 16.
using Fragments = std::uint32_t[kMostPlanes][4][4];

/// row: of the box, the thread's first; its second is 8 rows on.
__device__ __forceinline__ void split_pixels(Fragments& a, const unsigned char* box, int row,
                                             int lane) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int r = row + q % 2 * 8;
      const int chunk = k % 2 * 4 + q / 2 * 2 + lane % 4 / 2;  // of 16 bytes
      float2 v = *reinterpret_cast<const float2*>(box + k / 2 * kHalfBytes + r * kRowBytes +
                                                  ((chunk ^ (r & 7)) << 4) + lane % 2 * 8);
#pragma unroll
      for (int plane = 0; plane < kMostPlanes; ++plane) {
        a[plane][k][q] = split_off(v.x, v.y);
      }
    }
  }
}

template <class K>
__device__ __forceinline__ void multiply_planes(float* sums, const Fragments& a,
                                                std::uint32_t filter) {
  constexpr std::uint32_t kNext = K::kTransposed ? kNextTransposedK : kNextK;
  const std::uint64_t first = operand(filter, 1024, K::kTransposed ? 64 * kRowBytes : 16);
#pragma unroll
  for (int product = 0; product < kPlaneProducts; ++product) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::uint64_t right = moved(first, right_plane(product) * K::kPlaneBytes + k * kNext);
      multiply_narrow_from<K::kChannels, K::kTransposed>(sums, a[left_plane(product)][k], right,
                                                         product + k > 0);
    }
  }
}

/// Stores a thread's sums of one position: channels 8j + 2t and the one behind. kRow: 0 or 1.
template <int kChannels, int kRow>
__device__ __forceinline__ void store_sums(const Parameters& p, const float* sums,
                                           const Place& place, int position, int channel,
                                           int lane) {
  if (position >= positions_of(p.c, place)) {
    return;
  }
  const int channels = p.c.target_channels * p.c.groups;
  const std::int64_t pixel =
      pixel_of(p.c, place, position_of(p.c, place, position)) * p.c.target_pitch;
#pragma unroll
  for (int j = 0; j < kChannels / 8; ++j) {
    const int c = channel + j * 8 + lane % 4 * 2;
    const float first = sums[j * 4 + kRow * 2], second = sums[j * 4 + kRow * 2 + 1];
    if (c + 1 < channels) {
      *reinterpret_cast<float2*>(p.target + pixel + c) = make_float2(
          p.epilogue.apply(first, c, pixel + c), p.epilogue.apply(second, c + 1, pixel + c + 1));
    } else if (c < channels) {
      p.target[pixel + c] = p.epilogue.apply(first, c, pixel + c);
    }
  }
}

template <class K>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                               UnitWalk<Place> walk, int group) {
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32, g = lane / 4;
  // Rows of fragments are rows 0,2,4,6,1,3,5,7 of each 8: reads then meet in no bank.
  const int row = thread / 32 * 16 + (g < 4 ? 2 * g : 2 * g - 7);
  RingPosition<K::kStages> at(0);
  Fragments a;
  float products[K::kChannels / 2], sums[K::kChannels / 2];
  const auto issue = [&](int index) {
    const unsigned char* const stage = shared + index * K::kStageBytes;
    split_pixels(a, stage + group * 2 * kHalfBytes, row, lane);
    fence_sums();
    multiply_planes<K>(products, a, shared_address(stage) + 4 * kHalfBytes);
  };
  const auto release = [&](int stage) {
    sync_threads(1 + group, 128);  // all have read their pixels
    if (thread == 0) {
      arrive(&ring.empty[stage]);
    }
  };
  while (walk.next()) {
    multiply_cut_steps(ring, at, steps_of(p.c, walk.group()), products, sums, issue, release);
    const BoxUnit unit = unit_of(p.c, walk.index());
    const int first = unit.first + group * kBox + row;
    store_sums<K::kChannels, 0>(p, sums, walk.group(), first, unit.channel, lane);
    store_sums<K::kChannels, 1>(p, sums, walk.group(), first + 8, unit.channel, lane);
  }
}

template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    planes_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Ring<K::kStages> ring;
  unsigned char* const shared = begin_pipeline(raw, ring, 2);
  const auto walk = p.c.walk(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  run_pipeline<40, 232>([&](int which) { copy_units<K>(p, shared, ring, walk, which == 0); },
                        [&](int group) { multiply_units<K>(p, shared, ring, walk, group); });
}

template <int kChannels, int kStages, bool kTransposed>
void launch_tile(const PreparedConv2d& conv, const Conv2dOperands& o) {
  using K = Tile<kChannels, kStages, kTransposed>;
  const Conv2dProblem& problem = conv.problem;
  const char* const operation = kTransposed ? "ks_deconv" : "convv2";
  const NarrowPixels filter = split_into_planes(
      operation, static_cast<const float*>(o.w), problem.OC * problem.FH * problem.FW,
      problem.IC / problem.G, problem.IC / problem.G, kMostPlanes,
      static_cast<std::uint16_t*>(o.workspace));
  Parameters p;
  p.c = conv.data<PlannedBoxes>().correlation;
  p.epilogue = TypedEpilogue<float>(o.epilogue);
  p.target = static_cast<float*>(o.result);
  fill_source_maps(operation, p.c, Element::fp32, kTransposed ? o.y : o.x, p.maps);
  p.maps.filter = filter_map(operation, problem, Element::bf16, filter.plane[0], kMostPlanes,
                             /*lies_transposed=*/false, kTransposed ? kStep : kChannels);
  const auto workers = static_cast<unsigned>(std::min(p.c.units, multiprocessor_count()));
  cuda::launch(operation, planes_kernel<K>, workers, kPipelineThreads, K::kSharedBytes, p);
}

}  // namespace

std::int64_t run_planes(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  if (conv.plan.tile.rows == 128) {
    forward ? launch_tile<128, 2, false>(conv, o) : launch_tile<128, 2, true>(conv, o);
  } else {
    forward ? launch_tile<64, 3, false>(conv, o) : launch_tile<64, 3, true>(conv, o);
  }
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::hopper
