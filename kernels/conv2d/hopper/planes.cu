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
#include "cks/kernels/conv2d/hopper/box_maps.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/unit_walk.cuh"
#include "cks/kernels/hopper/async.cuh"
#include "cks/kernels/hopper/wgmma.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kThreads = 384;
constexpr int kBox = 64;  // positions: of one warpgroup
constexpr int kChannels = 128;
constexpr int kStep = 64;  // source channels
constexpr int kPlanes = 3;
constexpr int kStages = 2;
constexpr int kHalfBytes = kBox * kRowBytes;  // a box of 32 float32 channels
constexpr int kPlaneBytes = kChannels * kRowBytes;
constexpr int kStageBytes = 4 * kHalfBytes + kPlanes * kPlaneBytes;
constexpr int kSharedBytes = 1024 + kStages * kStageBytes;

/// Rounded to pairs of bfloat16, the first in the lower half.
__device__ __forceinline__ std::uint32_t rounded_pair(float first, float second) {
  std::uint32_t pair = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

__global__ void split_filter_kernel(const float* filter, std::uint16_t* planes, std::int64_t size) {
  cuda::begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step) {
    float rest = filter[i];
    for (int plane = 0; plane < kPlanes; ++plane) {
      const bfloat16 rounded(rest);
      planes[plane * size + i] = rounded.bits;
      rest -= static_cast<float>(rounded);
    }
  }
}

struct Parameters {
  CUtensorMap source[kMostClasses * kMostClasses];
  CUtensorMap filter;
  BoxCorrelation c;
  TypedEpilogue<float> epilogue;
  float* target;
};

/// The thread that asks for all copies of a block. A stage: the four halves of the boxes (box 0,
/// its upper 32 channels, box 1, its upper ones), then the planes of the filter.
template <bool kTransposed>
__device__ void copy_units(const Parameters& p, unsigned char* shared, std::uint64_t* full,
                           std::uint64_t* empty, UnitWalk walk) {
  const BoxCorrelation& c = p.c;
  RingPosition<kStages> ring(1);
  while (walk.next()) {
    const Place& place = walk.place();
    const Run& rows = c.rows[place.row_class];
    const Run& columns = c.columns[place.column_class];
    const CUtensorMap* source =
        &p.source[c.at_places ? 0 : place.row_class * c.column_classes + place.column_class];
    const int group = c.groups == 1 ? 0 : walk.channel() / c.target_channels;
    const bool empty_place = place.row_taps * place.column_taps == 0;
    const int steps = steps_of(c, place);
    const Position start[2] = {position_of(c, place, walk.first(0)),
                               position_of(c, place, walk.first(1))};
    int row_tap = place.row_tap, column_tap = place.column_tap, channel = 0;
    for (int step = 0; step < steps; ++step) {
      wait(&empty[ring.stage], ring.parity);
      unsigned char* const stage = shared + ring.stage * kStageBytes;
      std::uint64_t* const barrier = &full[ring.stage];
      arrive_expecting(barrier, kStageBytes);
      const int down = row_tap * rows.tap_step, right = column_tap * columns.tap_step;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        BoxAt at{group * c.source_channels + channel + i % 2 * (kStep / 2),
                 columns.source + start[i / 2].column * columns.source_step,
                 rows.source + start[i / 2].row * rows.source_step,
                 empty_place ? c.images : start[i / 2].image};
        unsigned char* const to = stage + i * kHalfBytes;
        if (c.at_places) {
          at.axis1 += right;
          at.axis2 += down;
          copy_box(to, source, barrier, at);
        } else {
          copy_window(to, source, barrier, at,
                      {static_cast<std::uint16_t>(right), static_cast<std::uint16_t>(down)});
        }
      }
      const int tap = empty_place ? c.filter_taps : filter_tap_of(c, place, row_tap, column_tap);
#pragma unroll
      for (int plane = 0; plane < kPlanes; ++plane) {
        unsigned char* const to = stage + 4 * kHalfBytes + plane * kPlaneBytes;
        if constexpr (kTransposed) {
          const int first = walk.channel() - group * c.target_channels;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            copy_box(to + half * 64 * kRowBytes, &p.filter, barrier,
                     {first + half * 64, tap, group * c.source_channels + channel, plane});
          }
        } else {
          copy_box(to, &p.filter, barrier, {channel, tap, walk.channel(), plane});
        }
      }
      ring.advance();
      channel += kStep;
      if (channel >= c.source_channels) {
        channel = 0;
        if (++column_tap == place.column_tap + place.column_taps) {
          column_tap = place.column_tap;
          ++row_tap;
        }
      }
    }
  }
}

/// The planes of a thread's pixels of one step: fragments of four products of K = 16.
using Fragments = std::uint32_t[kPlanes][4][4];

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
      for (int plane = 0; plane < kPlanes; ++plane) {
        const std::uint32_t pair = rounded_pair(v.x, v.y);
        a[plane][k][q] = pair;
        v.x -= __uint_as_float(pair << 16);
        v.y -= __uint_as_float(pair & 0xffff0000U);
      }
    }
  }
}

/// The six products of planes that matter, the smallest first.
template <bool kTransposed>
__device__ __forceinline__ void multiply_planes(float* sums, const Fragments& a,
                                                std::uint32_t filter) {
  constexpr int kPixelPlane[] = {2, 0, 1, 1, 0, 0};
  constexpr int kFilterPlane[] = {0, 2, 1, 0, 1, 0};
#pragma unroll
  for (int product = 0; product < 6; ++product) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t plane = filter + kFilterPlane[product] * kPlaneBytes;
      const std::uint64_t right = kTransposed
                                      ? operand(plane + k * kNextTransposedK, 1024, 64 * kRowBytes)
                                      : operand(plane + k * kNextK);
      multiply_bf16_128<kTransposed>(sums, a[kPixelPlane[product]][k], right, product + k > 0);
    }
  }
}

/// Stores a thread's sums of one position: channels 8j + 2t and the one behind. kRow: 0 or 1.
template <int kRow>
__device__ __forceinline__ void store_sums(const Parameters& p, const float* sums,
                                           const Place& place, int position, int channel,
                                           int lane) {
  if (position >= positions_of(p.c, place)) {
    return;
  }
  const int channels = p.c.target_channels * p.c.groups;
  const std::int64_t pixel = target_of(p.c, place, position_of(p.c, place, position));
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

template <bool kTransposed>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, std::uint64_t* full,
                               std::uint64_t* empty, UnitWalk walk, int group) {
  const int thread = threadIdx.x % 128, lane = thread % 32, g = lane / 4;
  // Rows of fragments are rows 0,2,4,6,1,3,5,7 of each 8: reads then meet in no bank.
  const int row = thread / 32 * 16 + (g < 4 ? 2 * g : 2 * g - 7);
  RingPosition<kStages> ring(0);
  Fragments a;
  float products[kChannels / 2], sums[kChannels / 2];
  while (walk.next()) {
    const int steps = steps_of(p.c, walk.place());
#pragma unroll
    for (float& sum : sums) {
      sum = 0.0F;
    }
    for (int step = 0; step < steps; ++step) {
      wait(&full[ring.stage], ring.parity);
      const unsigned char* const stage = shared + ring.stage * kStageBytes;
      split_pixels(a, stage + group * 2 * kHalfBytes, row, lane);
      fence_sums();
      multiply_planes<kTransposed>(products, a, shared_address(stage) + 4 * kHalfBytes);
      commit_products();
      wait_for_products<0>();
      sync_threads(1 + group, 128);  // all have read their pixels
      if (thread == 0) {
        arrive(&empty[ring.stage]);
      }
      ring.advance();
#pragma unroll
      for (int i = 0; i < kChannels / 2; ++i) {
        sums[i] += products[i];
      }
    }
    const int first = walk.first(group) + row;
    store_sums<0>(p, sums, walk.place(), first, walk.channel(), lane);
    store_sums<1>(p, sums, walk.place(), first + 8, walk.channel(), lane);
  }
}

template <bool kTransposed>
__global__ void __launch_bounds__(kThreads, 1) planes_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ std::uint64_t full[kStages], empty[kStages];
  unsigned char* const shared = aligned_shared(raw);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      init_barrier(&full[stage], 1);
      init_barrier(&empty[stage], 2);
    }
    publish_barriers();
  }
  __syncthreads();
  const UnitWalk walk(p.c, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;
  if (warpgroup == 0) {
    give_registers<40>();
    if (threadIdx.x == 0) {
      copy_units<kTransposed>(p, shared, full, empty, walk);
    }
  } else {
    take_registers<232>();
    multiply_units<kTransposed>(p, shared, full, empty, walk, warpgroup - 1);
  }
}

}  // namespace

std::int64_t run_planes(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dProblem& problem = conv.problem;
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const char* const operation = forward ? "convv2" : "ks_deconv";
  const std::int64_t size = problem.OC * problem.FH * problem.FW * (problem.IC / problem.G);
  cuda::launch(operation, split_filter_kernel, cuda::grid_for(size, 256), 256, 0,
               static_cast<const float*>(o.w), static_cast<std::uint16_t*>(o.workspace), size);
  Parameters p;
  p.c = conv.data<PlannedBoxes>().correlation;
  p.epilogue = TypedEpilogue<float>(o.epilogue);
  p.target = static_cast<float*>(o.result);
  fill_source_maps(operation, p.c, Element::fp32, forward ? o.x : o.y, p.source);
  p.filter = filter_map(operation, problem, Element::bf16, o.workspace, kPlanes,
                        /*lies_transposed=*/false, forward ? kChannels : kStep);
  const auto workers = static_cast<unsigned>(std::min(p.c.units, multiprocessor_count()));
  cuda::launch(operation, forward ? planes_kernel<false> : planes_kernel<true>, workers, kThreads,
               kSharedBytes, p);
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::hopper
