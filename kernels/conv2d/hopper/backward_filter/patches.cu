// Sk-dilated in patches (patches.h) for compute capability 9.0: a block multiplies dY of a patch,
// transposed, with what each of up to nine taps meets, so that what is copied once serves all. A
// tap begins elsewhere in its window: where the tensor core begins to read. At places that is where
// the first place begins that has a pixel, so that the tensor core sees no padding.
//
// For strict fp32, float32 is split into three planes of bfloat16 by the warpgroup that copies,
// which serves all taps; their sums are cut after every patch, the small products of all its
// outputs first.
//
// A cluster of two blocks shares the patches of a unit. So half as many sums wait in memory to be
// added, or none: blocks add them through each other's shared memory.
#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/backward_filter/patches.h"
#include "cks/kernels/conv2d/hopper/backward_filter/split.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/halves/factor.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr const char* kOperation = "sk_dilated";
constexpr int kMultiplyingWarps = 8;  // each releases a stage
/// Of a tap's sums that a block gets from the other one.
constexpr int kTapBytes = kPatchBlock * kPatchBlock / kSharers * 4;

/// kFirst, kSecond: taps of the two warpgroups that multiply. kRows: of a patch in a row, 0: at
/// places.
template <int kFirstTaps, int kSecondTaps, int kRowCount, int kPlaneCount, bool kIsFloat16>
struct Tile {
  static constexpr int kFirst = kFirstTaps, kSecond = kSecondTaps;
  static constexpr int kRows = kRowCount, kPlanes = kPlaneCount;
  static constexpr bool kAtPlaces = kRows == 0, kFloat16 = kIsFloat16;
  using Factor = std::conditional_t<kFloat16, HalvesFactor, NoFactor>;
  static constexpr int kStages = most_patch_stages(kPlanes);
  static constexpr int kUnsplit = unsplit_stages(kPlanes);
  static_assert(kFirst + kSecond <= kMostGroupTaps && kPlanes <= kMostPlanes);
};

struct Parameters {
  CUtensorMap x[kMostWindows];
  CUtensorMap dy;
  PatchPlan g;
  float* out;           // [split_k][OC][taps][IC]
  HalfOperands halves;  // whose exponents count
};

/// At places the images follow the channels.
template <class K>
__device__ __forceinline__ BoxAt at_box(int channel, int image, int row, int column) {
  return K::kAtPlaces ? BoxAt{channel, image, column, row} : BoxAt{channel, column, row, image};
}

/// Asks for dY or for X of a step: boxes of `channels` channels from the unit's plus `channel` on.
template <class K, class Place>
__device__ __forceinline__ void copy_step(const Parameters& p, const PatchSteps& step,
                                          const PatchUnit& unit, bool copies_dy, int channel,
                                          std::uint64_t* barrier, Place&& place) {
  const PatchStart& start = step.start;
  if (copies_dy) {
    copy_box(place(0, p.g.rows * p.g.columns), &p.dy, barrier,
             at_box<K>(unit.oc + channel, start.image, start.row - p.g.ahead, start.column));
    return;
  }
  for (int w = 0; w < p.g.windows; ++w) {
    const PatchWindow& window = p.g.window[w];
    copy_box(place(window.offset, window.rows * window.columns), &p.x[w], barrier,
             at_box<K>(unit.ic + channel, start.image, start.row + window.first_row,
                       start.column + window.first_column));
  }
}

/// The threads that ask for the copies of a block: one for dY, one for X.
template <class K>
__device__ void copy_unit(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                          const PatchUnit& unit, bool copies_dy) {
  const PatchPlan& g = p.g;
  RingPosition<K::kStages> at(1, g.stages);
  for (PatchSteps step(g, unit); step.next();) {
    wait(&ring.empty[at.stage], at.parity);
    std::uint64_t* const barrier = &ring.full[at.stage];
    const bool dy = has_outputs(g, step.start), x = has_pixels(g, step.start);
    if (copies_dy) {
      arrive_expecting(barrier, (dy ? g.dy_bytes : 0) + (x ? g.x_bytes : 0));
    }
    if (copies_dy ? dy : x) {
      unsigned char* const stage = shared + at.stage * g.plane_bytes;
      copy_step<K>(p, step, unit, copies_dy, 0, barrier,
                   [&](int offset, int) { return stage + offset; });
    }
    at.advance();
  }
}

/// The same of float32, which is split.
template <class K>
__device__ void split_unit(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                           UnsplitRing<K::kUnsplit>& unsplit, const PatchUnit& unit) {
  const PatchPlan& g = p.g;
  unsigned char* const waiting = shared + K::kStages * K::kPlanes * g.plane_bytes;
  const auto unsplit_stage = [&](int i) { return waiting + i * 2 * g.plane_bytes; };
  const auto copy = [&](const PatchSteps& step, int i, std::uint64_t* barrier, int part) {
    for (int half = 0; half < 2; ++half) {
      copy_step<K>(p, step, unit, part == 0, half * kUnsplitRow, barrier,
                   [&](int offset, int positions) {
                     return unsplit_at(unsplit_stage(i), offset, positions, half);
                   });
    }
  };
  const auto split = [&](int i, int stage) {
    const auto rows = [&](int offset, int positions) {
      split_rows<K::kPlanes>(unsplit_stage(i), shared + stage * K::kPlanes * g.plane_bytes,
                             g.plane_bytes, offset, positions);
    };
    rows(0, g.rows * g.columns);
    for (int w = 0; w < g.windows; ++w) {
      rows(g.window[w].offset, g.window[w].rows * g.window[w].columns);
    }
  };
  split_steps(ring, unsplit, PatchSteps(g, unit), 2 * (g.dy_bytes + g.x_bytes), copy, split);
}

__device__ __forceinline__ std::uint32_t unsigned_of(int value) {
  return static_cast<std::uint32_t>(value);
}

/// Where a lane loads its row of the matrices of 16 terms of dY from (load_transposed()).
__device__ __forceinline__ std::uint32_t lane_offset() {
  const std::uint32_t lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
  const std::uint32_t term = lane / 16 * 8 + lane % 8, channels = warp * 2 + lane / 8 % 2;
  return term * kRowBytes + ((channels ^ term % 8) << 4);
}

/// What a warpgroup multiplies of dY: the rows of a product, while those of the one before are
/// read. dY comes through registers: one load serves all taps, and the way from shared memory is
/// left to the pixels.
using Gradients = std::uint32_t[2][4];

/// Issues and commits the products of taps kFrom and up that are in `met`, of those below that are
/// in kMet: a way of its own for each set of taps, for a product under a condition of its own would
/// have to be waited for.
template <int kTaps, int kFrom, unsigned kMet, class Multiply>
__device__ __forceinline__ void multiply_met(std::uint32_t met, Multiply&& multiply) {
  if constexpr (kFrom < kTaps) {
    if ((met >> kFrom & 1U) != 0) {
      multiply_met<kTaps, kFrom + 1, kMet | 1U << kFrom>(met, multiply);
    } else {
      multiply_met<kTaps, kFrom + 1, kMet>(met, multiply);
    }
  } else {
    fence_sums();
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      if ((kMet >> t & 1U) != 0) {
        multiply(t);
      }
    }
    commit_products();
  }
}

/// sums += all products of a patch in a row. begun() as soon as the patch before has been read.
template <class K, int kTaps, class Begun>
__device__ __forceinline__ void multiply_rows(float (&sums)[kTaps][32], Gradients& dy,
                                              const TapGroup::Tap* taps, std::uint32_t stage,
                                              Begun&& begun) {
  constexpr int kTerms = K::kRows / 2;  // two rows are the terms of a product
#pragma unroll
  for (int k = 0; k < kTerms; ++k) {
    load_transposed(stage + lane_offset() + unsigned_of(k) * kNextTransposedK, dy[k % 2]);
    fence_sums();
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      const std::uint32_t pitch = unsigned_of(taps[t].pitch);
      const std::uint64_t first = operand(stage + unsigned_of(taps[t].offset), pitch, 0);
      multiply_narrow_from<kPatchBlock, true, K::kFloat16>(
          sums[t], dy[k % 2], moved(first, unsigned_of(k) * 2 * pitch), true);
    }
    commit_products();
    wait_for_products<1>();
    if (k == 0) {
      begun();
    }
  }
  if constexpr (kTerms % 2 == 1) {
    wait_for_products<0>();  // the next patch loads what the last product reads
  }
}

/// The same of a row of outputs at places: products of the taps in `met`, of each a bit for each
/// product, with the pixels. An odd number of products is followed by one of nothing.
template <bool kFloat16, int kTaps, class Begun>
__device__ __forceinline__ void multiply_places(float (&sums)[kTaps][32], Gradients& dy,
                                                int products, const std::uint32_t (&met)[kTaps],
                                                std::uint32_t gradients,
                                                const std::uint32_t (&pixels)[kTaps],
                                                Begun&& begun) {
  for (int first = 0; first < products; first += 2) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int product = first + i;
      const std::uint32_t at = unsigned_of(product) * kNextTransposedK;
      std::uint32_t taps_met = 0;
#pragma unroll
      for (int t = 0; t < kTaps; ++t) {
        taps_met |= (met[t] >> product & 1U) << t;
      }
      load_transposed(gradients + at, dy[i]);
      multiply_met<kTaps, 0, 0>(taps_met, [&](int t) {
        multiply_narrow_from<kPatchBlock, true, kFloat16>(sums[t], dy[i],
                                                          operand(pixels[t] + at, 1024, 0), true);
      });
      wait_for_products<1>();
    }
    if (first == 0) {
      begun();
    }
  }
}

/// sums += the products of three planes of a patch in a row through a tap, which are summed up by
/// themselves.
template <class K>
__device__ __forceinline__ void add_cut(float (&sums)[32], const PatchPlan& g,
                                        const TapGroup::Tap& tap, std::uint32_t stage) {
  const std::uint32_t pitch = unsigned_of(tap.pitch);
  float products[32];
  fence_sums();
#pragma unroll
  for (int product = 0; product < kPlaneProducts; ++product) {
    const std::uint64_t left =
        operand(stage + unsigned_of(left_plane(product) * g.plane_bytes), 1024, 0);
    std::uint64_t right =
        operand(stage + unsigned_of(right_plane(product) * g.plane_bytes + tap.offset), pitch, 0);
#pragma unroll
    for (int k = 0; k < K::kRows / 2; ++k) {
      multiply_narrow<kPatchBlock, true, true>(
          products, moved(left, unsigned_of(k) * kNextTransposedK), right, product > 0 || k > 0);
      right = moved(right, 2 * pitch);
    }
  }
  commit_products();
  wait_for_products<0>();
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    sums[i] += products[i];
  }
}

template <int kTaps>
__device__ __forceinline__ void clear(float (&sums)[kTaps][32]) {
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
#pragma unroll
    for (float& sum : sums[t]) {
      sum = 0.0F;
    }
  }
}

/// A warpgroup's products of a unit's patches: taps first to first + kTaps - 1 of the group.
template <class K, int kTaps>
__device__ void multiply_unit(const PatchPlan& g, unsigned char* shared, Ring<K::kStages>& ring,
                              const PatchUnit& unit, int first, float (&sums)[kTaps][32]) {
  const std::uint32_t base = shared_address(shared);
  const TapGroup::Tap* const taps = g.group[unit.group].tap + first;
  const int stage_bytes = K::kPlanes * g.plane_bytes, ring_bytes = g.stages * stage_bytes;
  // Steps after which a stage is released: its products are waited for at once, or later.
  const int kept = K::kPlanes > 1 ? 0 : g.reach + 1;
  const int products = g.columns * g.patch_images / kTermImages;
  const int steps = unit.patches * g.steps;
  RingPosition<K::kStages> at(0, g.stages);
  Gradients dy;
  clear<kTaps>(sums);
  int row = -g.ahead;
  for (int step = 0; step < steps; ++step) {
    const int stage = at.stage * stage_bytes;
    const auto release = [&] {
      if (step >= kept && threadIdx.x % 32 == 0) {
        arrive(&ring.empty[at.stage - kept + (at.stage < kept ? g.stages : 0)]);
      }
    };
    if constexpr (K::kAtPlaces) {
      std::uint32_t met[kTaps], pixels[kTaps];
#pragma unroll
      for (int t = 0; t < kTaps; ++t) {
        const int before = taps[t].steps * stage_bytes;
        met[t] = met_in_row(taps[t], row);
        pixels[t] =
            base + unsigned_of(stage + taps[t].offset - before + (stage < before ? ring_bytes : 0));
      }
      wait(&ring.full[at.stage], at.parity);
      if (row >= 0) {
        multiply_places<K::kFloat16>(sums, dy, products, met,
                                     base + unsigned_of(stage) + lane_offset(), pixels, release);
      } else {
        wait_for_products<0>();
        release();
      }
      row = row + 1 < g.out_height ? row + 1 : -g.ahead;
    } else {
      wait(&ring.full[at.stage], at.parity);
      if constexpr (K::kPlanes == 1) {
        multiply_rows<K>(sums, dy, taps, base + unsigned_of(stage), release);
      } else {
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          add_cut<K>(sums[t], g, taps[t], base + unsigned_of(stage));
        }
        release();
      }
    }
    at.advance();
  }
  wait_for_products<0>();
}

/// Adds the sums of a warpgroup and of its like in the other block of the cluster, which each get
/// half of the columns: whole[t] are those of 32 input channels from 32 * the block's rank on.
/// All threads of both blocks wait for each other twice.
template <int kTaps>
__device__ __forceinline__ void add_shared(const float (&sums)[kTaps][32], unsigned char* shared,
                                           float (&whole)[kTaps][16]) {
  auto* const others = reinterpret_cast<float4*>(shared) + threadIdx.x % 128;
  const int rank = cluster_rank();
  await_cluster();  // the stages have been read
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
#pragma unroll
    for (int i = 0; i < 16; i += 4) {
      float sent[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float low = sums[t][i + j], high = sums[t][16 + i + j];
        sent[j] = rank == 0 ? high : low;
        whole[t][i + j] = rank == 0 ? low : high;
      }
      store_at(others + (t * 4 + i / 4) * 128, 1 - rank,
               make_float4(sent[0], sent[1], sent[2], sent[3]));
    }
  }
  sync_cluster();
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
#pragma unroll
    for (int i = 0; i < 16; i += 4) {
      const float4 other = others[(t * 4 + i / 4) * 128];
      float* const four = whole[t] + i;
      four[0] += other.x, four[1] += other.y, four[2] += other.z, four[3] += other.w;
    }
  }
}

template <class K, int kTaps>
__device__ __forceinline__ void store_sums(const Parameters& p, const float (&sums)[kTaps][16],
                                           const PatchUnit& unit, int first) {
  const PatchPlan& g = p.g;
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  float* const out = p.out + unit.slice * size;
  const auto factor = K::Factor::of(p.halves);
  const int first_ic = unit.ic + cluster_rank() * (kPatchBlock / kSharers) + lane % 4 * 2;
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
    const int tap = g.group[unit.group].tap[first + t].tap;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int oc = unit.oc + thread / 32 * 16 + lane / 4 + i * 8;
      float* const row = out + (std::int64_t{oc} * g.filter_taps + tap) * g.in_channels;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int ic = first_ic + j * 8;
        if (tap >= 0 && oc < g.out_channels && ic < g.in_channels) {  // their number is even
          *reinterpret_cast<float2*>(row + ic) =
              make_float2(factor(sums[t][j * 4 + i * 2]), factor(sums[t][j * 4 + i * 2 + 1]));
        }
      }
    }
  }
}

/// Both blocks of a cluster multiply some patches of the same unit; each stores half of its sums.
template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    patches_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Ring<K::kStages> ring;
  __shared__ UnsplitRing<K::kUnsplit> unsplit;
  if (threadIdx.x == 0) {
    unsplit.init();
    prefetch_map(&p.dy);
    prefetch_map(&p.x[0]);
  }
  unsigned char* const shared = begin_pipeline(raw, ring, kMultiplyingWarps);
  const PatchUnit unit = unit_of(p.g, {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y),
                                       static_cast<int>(blockIdx.z)});
  const auto multiply_taps = [&]<int kTaps>(int first) {
    float sums[kTaps][32], whole[kTaps][16];
    multiply_unit<K>(p.g, shared, ring, unit, first, sums);
    add_shared(sums, shared + first * kTapBytes, whole);
    store_sums<K>(p, whole, unit, first);
  };
  const auto multiply = [&](int group) {
    if (group == 0) {
      multiply_taps.template operator()<K::kFirst>(0);
    } else {
      multiply_taps.template operator()<K::kSecond>(K::kFirst);
    }
  };
  constexpr int kCopying = K::kPlanes == 1 ? 40 : 56;
  run_warpgroups<kCopying, 252 - kCopying / 2>(
      [&] {
        if constexpr (K::kPlanes > 1) {
          split_unit<K>(p, shared, ring, unsplit, unit);
        } else if (threadIdx.x % 32 == 0 && threadIdx.x < 64) {
          copy_unit<K>(p, shared, ring, unit, threadIdx.x == 0);
        }
        __syncwarp();
        await_cluster();
        sync_cluster();
      },
      multiply, warpgroup_of_warp());
}

/// Boxes of a view of images, `pixel`, `line` and `image` elements from one to the next.
CUtensorMap map_of(const PatchPlan& g, Element element, const void* base,
                   const std::int64_t (&extent)[3], std::int64_t pixel, std::int64_t line,
                   std::int64_t image, int columns, int rows) {
  const auto [channels, width, height] = extent;
  const Tensor4 in_a_row{element, base, {channels, width, height, g.images}, {pixel, line, image}};
  const Tensor4 at_places{element, base, {channels, g.images, width, height}, {image, pixel, line}};
  return g.at_places() ? box_map(kOperation, at_places, {g.patch_images, columns, rows})
                       : box_map(kOperation, in_a_row, {columns, rows, 1});
}

/// What lies where: elements from one pixel to the next.
struct Pixels {
  const void* base;
  std::int64_t pitch;
};

void fill_maps(Parameters& p, Element element, const Pixels& x, const Pixels& y) {
  const PatchPlan& g = p.g;
  const std::int64_t y_line = y.pitch * g.out_width, x_line = x.pitch * g.width;
  p.dy = map_of(g, element, y.base, {g.out_channels, g.out_width, g.out_height}, y.pitch, y_line,
                y_line * g.out_height, g.columns, g.rows);
  for (int w = 0; w < g.windows; ++w) {
    const PatchWindow& window = g.window[w];
    const std::int64_t first = window.row_class * x_line + window.column_class * x.pitch;
    p.x[w] = map_of(g, element, static_cast<const char*>(x.base) + first * bytes_of(element),
                    {g.in_channels, ceil_div(g.width - window.column_class, g.column_stride),
                     ceil_div(g.height - window.row_class, g.row_stride)},
                    x.pitch * g.column_stride, x_line * g.row_stride, x_line * g.height,
                    window.columns, window.rows);
  }
}

template <class K>
void launch_tile(const Parameters& p) {
  const int stages = (p.g.stages * K::kPlanes + 2 * K::kUnsplit) * p.g.plane_bytes;
  const auto bytes =
      static_cast<std::size_t>(1024 + std::max(stages, (K::kFirst + K::kSecond) * kTapBytes));
  const dim3 grid(static_cast<unsigned>(p.g.row_units * kSharers),
                  static_cast<unsigned>(p.g.column_units),
                  static_cast<unsigned>(p.g.groups * p.g.split_k));
  cuda::launch(kOperation, patches_kernel<K>, grid, kPipelineThreads, {bytes, dim3(kSharers)}, p);
}

template <int kRows, int kPlanes, bool kFloat16>
void launch_rows(const Parameters& p) {
  p.g.group_taps == 9 ? launch_tile<Tile<5, 4, kRows, kPlanes, kFloat16>>(p)
                      : launch_tile<Tile<4, 4, kRows, kPlanes, kFloat16>>(p);
}

template <int kPlanes, bool kFloat16>
void launch_planes(const Parameters& p) {
  constexpr auto& kRows = patch_rows(kPlanes);
  p.g.rows == kRows[0] ? launch_rows<kRows[0], kPlanes, kFloat16>(p)
                       : launch_rows<kRows[1], kPlanes, kFloat16>(p);
}

}  // namespace

std::int64_t run_patches(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const int planes = planes_of(conv.plan.arithmetic);
  const bool is_float16 = conv.plan.arithmetic == Arithmetic::fp16;
  const Conv2dProblem& problem = conv.problem;
  Parameters p;
  p.g = conv.data<PatchPlan>();
  p.out = static_cast<float*>(cuda::gradient_slices(conv, operands));
  if (is_float16) {
    p.halves = half_operands(kOperation, conv, operands, bytes_of_slices(conv.plan, problem));
    fill_maps(p, Element::fp16, {half_elements(p.halves.first), problem.IC},
              {half_elements(p.halves.second), problem.OC});
  } else {
    fill_maps(p, planes == 1 ? Element::bf16 : Element::fp32, {operands.x, problem.x_pitch},
              {operands.y, problem.y_pitch});
  }
  if (p.g.at_places()) {
    is_float16 ? launch_rows<0, 1, true>(p) : launch_rows<0, 1, false>(p);
  } else if (planes == 1) {
    is_float16 ? launch_planes<1, true>(p) : launch_planes<1, false>(p);
  } else {
    launch_planes<3, false>(p);
  }
  cuda::add_gradient_slices(conv, operands);
  return executed_of(p.g);
}

}  // namespace cks::kernels::hopper
