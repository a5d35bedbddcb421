// Sk-dilated in patches (patches.h) for compute capability 9.0: a block multiplies dY of a patch,
// transposed, with what each of up to nine taps meets, so that what is copied once serves all. A
// tap begins elsewhere in its window: where the tensor core begins to read. At places that is where
// the first place begins that has a pixel, so that the tensor core sees no padding.
//
// Float32 is split into planes of bfloat16 by the warpgroup that copies, which serves all taps; the
// sums of three planes are cut after every patch, the small products of all its outputs first.
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/conv2d/hopper/patches.h"
#include "cks/kernels/conv2d/hopper/split.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr const char* kOperation = "sk_dilated";

/// kFirst, kSecond: taps of the two warpgroups that multiply. kRows: of a patch in a row, 0: at
/// places.
template <int kFirstTaps, int kSecondTaps, int kRowCount, int kPlaneCount>
struct Tile {
  static constexpr int kFirst = kFirstTaps, kSecond = kSecondTaps;
  static constexpr int kRows = kRowCount, kPlanes = kPlaneCount;
  static constexpr bool kAtPlaces = kRows == 0;
  static constexpr int kStages = patch_stages(kPlanes, kAtPlaces);
  static constexpr int kUnsplit = unsplit_stages(kPlanes, kRows);
  static_assert(kFirst + kSecond <= kMostGroupTaps && kPlanes <= kMostPlanes);
};

struct Parameters {
  CUtensorMap x[kMostWindows];
  CUtensorMap dy;
  PatchPlan g;
  float* out;  // [split_k][OC][taps][IC]
};

/// At places the images follow the channels.
template <class K>
__device__ __forceinline__ BoxAt at_box(int channel, int image, int row, int column) {
  return K::kAtPlaces ? BoxAt{channel, image, column, row} : BoxAt{channel, column, row, image};
}

/// A block's patches, one after the other.
struct PatchSteps {
  const PatchPlan& g;
  UnitWalk<TapGroup> walk;
  PatchUnit unit{};
  PatchStart start{};
  int patch = 0, end = 0;

  __device__ __forceinline__ bool next() {
    if (++patch >= end) {
      if (!walk.next()) {
        return false;
      }
      unit = unit_of(g, walk.index());
      patch = unit.first;
      end = unit.first + unit.patches;
    }
    start = start_of(g, patch);
    return true;
  }
};

/// Asks for dY or for X of a patch: boxes of `channels` channels from the unit's plus `channel` on.
template <class K, class Place>
__device__ __forceinline__ void copy_patch(const Parameters& p, const PatchSteps& step,
                                           bool copies_dy, int channel, std::uint64_t* barrier,
                                           Place&& place) {
  const PatchStart& start = step.start;
  if (copies_dy) {
    copy_box(place(0, p.g.rows * p.g.columns), &p.dy, barrier,
             at_box<K>(step.unit.oc + channel, start.image, start.row, start.column));
    return;
  }
  for (int w = 0; w < p.g.windows; ++w) {
    const PatchWindow& window = p.g.window[w];
    copy_box(place(window.offset, window.rows * window.columns), &p.x[w], barrier,
             at_box<K>(step.unit.ic + channel, start.image, start.row + window.first_row,
                       start.column + window.first_column));
  }
}

/// The threads that ask for the copies of a block: one for dY, one for X.
template <class K>
__device__ void copy_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                           const UnitWalk<TapGroup>& walk, bool copies_dy) {
  RingPosition<K::kStages> at(1);
  for (PatchSteps step{p.g, walk}; step.next();) {
    wait(&ring.empty[at.stage], at.parity);
    std::uint64_t* const barrier = &ring.full[at.stage];
    if (copies_dy) {
      arrive_expecting(barrier, p.g.copied_bytes);
    }
    unsigned char* const stage = shared + at.stage * p.g.plane_bytes;
    copy_patch<K>(p, step, copies_dy, 0, barrier, [&](int offset, int) { return stage + offset; });
    at.advance();
  }
}

/// The same of float32, which is split.
template <class K>
__device__ void split_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                            UnsplitRing<K::kUnsplit>& unsplit, const UnitWalk<TapGroup>& walk) {
  const PatchPlan& g = p.g;
  unsigned char* const waiting = shared + K::kStages * K::kPlanes * g.plane_bytes;
  const auto unsplit_stage = [&](int i) { return waiting + i * 2 * g.plane_bytes; };
  const auto copy = [&](const PatchSteps& step, int i, std::uint64_t* barrier, int part) {
    for (int half = 0; half < 2; ++half) {
      copy_patch<K>(p, step, part == 0, half * kUnsplitRow, barrier,
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
  split_steps(ring, unsplit, PatchSteps{g, walk}, 2 * g.copied_bytes, copy, split);
}

__device__ __forceinline__ std::uint32_t unsigned_of(int value) {
  return static_cast<std::uint32_t>(value);
}

/// sums += all products of two planes in a patch in a row, through one tap. adds: not the first.
template <class K>
__device__ __forceinline__ void multiply_rows(float (&sums)[32], const TapGroup::Tap& tap,
                                              std::uint32_t gradients, std::uint32_t pixels,
                                              bool adds) {
  const std::uint32_t pitch = unsigned_of(tap.pitch);
  const std::uint64_t left = operand(gradients, 1024, 0);
  std::uint64_t right = operand(pixels + unsigned_of(tap.offset), pitch, 0);
#pragma unroll
  for (int k = 0; k < K::kRows / 2; ++k) {  // two rows are the terms of a product
    multiply_bf16<kPatchBlock, true, true>(sums, moved(left, unsigned_of(k) * kNextTransposedK),
                                           right, adds || k > 0);
    right = moved(right, 2 * pitch);
  }
}

/// The same at places, of a row of them after the other.
__device__ __forceinline__ void multiply_places(float (&sums)[32], const PatchPlan& g,
                                                const TapGroup::Tap& tap, const MetPlaces& met,
                                                std::uint32_t gradients, std::uint32_t pixels) {
  const int place_bytes = g.patch_images * kRowBytes;
  const int products = (met.end_column - met.first_column) * (g.patch_images / kTermImages);
  for (int row = met.first_row; row < met.end_row; ++row) {
    std::uint64_t left = operand(
        gradients + unsigned_of((row * g.columns + met.first_column) * place_bytes), 1024, 0);
    std::uint64_t right =
        operand(pixels + unsigned_of(tap.offset + row * tap.pitch + met.first_column * place_bytes),
                1024, 0);
    for (int i = 0; i < products; ++i) {
      fence_sums();
      multiply_bf16<kPatchBlock, true, true>(sums, left, right, true);
      commit_products();
      wait_for_products<3>();
      left = moved(left, kNextTransposedK);
      right = moved(right, kNextTransposedK);
    }
  }
}

template <int kTaps>
__device__ __forceinline__ void store_sums(const Parameters& p, const float (&sums)[kTaps][32],
                                           const TapGroup& group, int first,
                                           const PatchUnit& unit) {
  const PatchPlan& g = p.g;
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  float* const out = p.out + unit.slice * size;
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
    const int tap = group.tap[first + t].tap;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int oc = unit.oc + thread / 32 * 16 + lane / 4 + i * 8;
      float* const row = out + (std::int64_t{oc} * g.filter_taps + tap) * g.in_channels;
#pragma unroll
      for (int j = 0; j < kPatchBlock / 8; ++j) {
        const int ic = unit.ic + j * 8 + lane % 4 * 2;
        if (tap >= 0 && oc < g.out_channels && ic < g.in_channels) {  // their number is even
          *reinterpret_cast<float2*>(row + ic) =
              make_float2(sums[t][j * 4 + i * 2], sums[t][j * 4 + i * 2 + 1]);
        }
      }
    }
  }
}

/// sums += all products of the planes of a patch in a row. adds: not the first patch.
template <class K>
__device__ __forceinline__ void multiply_planes(float (&sums)[32], const PatchPlan& g,
                                                const TapGroup::Tap& tap, std::uint32_t stage,
                                                bool adds) {
  constexpr int kFirstProduct = first_plane_product(K::kPlanes);
#pragma unroll
  for (int product = kFirstProduct; product < kPlaneProducts; ++product) {
    multiply_rows<K>(sums, tap, stage + unsigned_of(left_plane(product) * g.plane_bytes),
                     stage + unsigned_of(right_plane(product) * g.plane_bytes),
                     adds || product > kFirstProduct);
  }
}

/// sums += the products of a patch, which are summed up by themselves.
template <class K>
__device__ __forceinline__ void add_cut(float (&sums)[32], const PatchPlan& g,
                                        const TapGroup::Tap& tap, std::uint32_t stage) {
  float products[32];
  fence_sums();
  multiply_planes<K>(products, g, tap, stage, false);
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

/// A warpgroup that multiplies: taps first to first + kTaps - 1 of each group.
template <class K, int kTaps>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                               UnitWalk<TapGroup> walk, int first) {
  const PatchPlan& g = p.g;
  const std::uint32_t base = shared_address(shared);
  const std::uint32_t plane_bytes = unsigned_of(g.plane_bytes);
  const auto release = [&](int stage) {
    if (threadIdx.x % 128 == 0) {
      arrive(&ring.empty[stage]);
    }
  };
  RingPosition<K::kStages> at(0);
  float sums[kTaps][32];
  while (walk.next()) {
    const PatchUnit unit = unit_of(g, walk.index());
    const TapGroup::Tap* const taps = walk.group().tap + first;
    const auto stage_at = [&](int stage) {
      return base + unsigned_of(stage * K::kPlanes) * plane_bytes;
    };
    if constexpr (K::kPlanes <= 2 && !K::kAtPlaces) {
      const auto issue = [&](int stage, bool adds) {
        fence_sums();
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          multiply_planes<K>(sums[t], g, taps[t], stage_at(stage), adds);
        }
      };
      multiply_steps(ring, at, unit.patches, issue, release);
    } else {
      clear<kTaps>(sums);
      for (int patch = unit.first; patch < unit.first + unit.patches; ++patch) {
        const PatchStart start = start_of(g, patch);
        wait(&ring.full[at.stage], at.parity);
        const std::uint32_t stage = stage_at(at.stage);
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          if constexpr (K::kAtPlaces) {
            multiply_places(sums[t], g, taps[t], places_of(g, taps[t], start), stage, stage);
          } else {
            add_cut<K>(sums[t], g, taps[t], stage);
          }
        }
        wait_for_products<0>();
        release(at.stage);
        at.advance();
      }
    }
    store_sums<kTaps>(p, sums, walk.group(), first, unit);
  }
}

template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    patches_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Ring<K::kStages> ring;
  __shared__ UnsplitRing<K::kUnsplit> unsplit;
  if (threadIdx.x == 0) {
    unsplit.init();
  }
  unsigned char* const shared = begin_pipeline(raw, ring, 2);
  const auto walk = p.g.walk(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  const auto multiply = [&](int group) {
    if (group == 0) {
      multiply_units<K, K::kFirst>(p, shared, ring, walk, 0);
    } else {
      multiply_units<K, K::kSecond>(p, shared, ring, walk, K::kFirst);
    }
  };
  if constexpr (K::kPlanes == 1) {
    run_pipeline<40, 232>([&](int which) { copy_units<K>(p, shared, ring, walk, which == 0); },
                          multiply);
  } else {
    constexpr int kSplitting = K::kPlanes == 2 ? 72 : 56;
    run_warpgroups<kSplitting, 252 - kSplitting / 2>(
        [&] { split_units<K>(p, shared, ring, unsplit, walk); }, multiply);
  }
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

void fill_maps(Parameters& p, const Conv2dProblem& problem, const Conv2dOperands& operands,
               Element element) {
  const PatchPlan& g = p.g;
  const std::int64_t y_line = problem.y_pitch * g.out_width, x_line = problem.x_pitch * g.width;
  p.dy = map_of(g, element, operands.y, {g.out_channels, g.out_width, g.out_height},
                problem.y_pitch, y_line, y_line * g.out_height, g.columns, g.rows);
  for (int w = 0; w < g.windows; ++w) {
    const PatchWindow& window = g.window[w];
    const std::int64_t first = window.row_class * x_line + window.column_class * problem.x_pitch;
    p.x[w] = map_of(g, element, static_cast<const char*>(operands.x) + first * bytes_of(element),
                    {g.in_channels, ceil_div(g.width - window.column_class, g.column_stride),
                     ceil_div(g.height - window.row_class, g.row_stride)},
                    problem.x_pitch * g.column_stride, x_line * g.row_stride, x_line * g.height,
                    window.columns, window.rows);
  }
}

template <class K>
void launch_tile(const Parameters& p) {
  const int workers = std::min(p.g.units, multiprocessor_count());
  const int bytes = 1024 + (K::kStages * K::kPlanes + 2 * K::kUnsplit) * p.g.plane_bytes;
  cuda::launch(kOperation, patches_kernel<K>, static_cast<unsigned>(workers), kPipelineThreads,
               bytes, p);
}

template <int kRows, int kPlanes>
void launch_rows(const Parameters& p) {
  p.g.group_taps == 9 ? launch_tile<Tile<5, 4, kRows, kPlanes>>(p)
                      : launch_tile<Tile<4, 4, kRows, kPlanes>>(p);
}

template <int kPlanes>
void launch_planes(const Parameters& p) {
  constexpr auto& kRows = kPatchRows[kPlanes - 1];
  if (p.g.rows == kRows[0]) {
    launch_rows<kRows[0], kPlanes>(p);
  } else if (p.g.rows == kRows[1]) {
    launch_rows<kRows[1], kPlanes>(p);
  } else if constexpr (kRows[2] > 0) {
    launch_rows<kRows[2], kPlanes>(p);
  }
}

}  // namespace

std::int64_t run_patches(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const int planes = planes_of(conv.plan.arithmetic);
  Parameters p;
  p.g = conv.data<PatchPlan>();
  p.out = gradient_slices(conv, operands);
  fill_maps(p, conv.problem, operands, planes == 1 ? Element::bf16 : Element::fp32);
  if (p.g.at_places()) {
    launch_rows<0, 1>(p);
  } else if (planes == 1) {
    launch_planes<1>(p);
  } else if (planes == 2) {
    launch_planes<2>(p);
  } else {
    launch_planes<3>(p);
  }
  add_gradient_slices(conv, operands);
  return executed_of(p.g);
}

}  // namespace cks::kernels::hopper
