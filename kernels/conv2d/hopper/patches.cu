// Sk-dilated in patches (patches.h) for compute capability 9.0: a block multiplies dY of a patch,
// transposed, with what each of up to nine taps meets, so that what is copied once serves all. A
// tap begins elsewhere in its window: where the tensor core begins to read. At places that is where
// the first place begins that has a pixel, so that the tensor core sees no padding.
//
// Float32 is split into planes of bfloat16 beforehand, as in taps.cu; its sums are cut after every
// patch, the small products of all its outputs first.
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/conv2d/hopper/patches.h"
#include "cks/kernels/hopper/pipeline.cuh"

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
  static constexpr int kStages = kAtPlaces ? kPlaceStages : kPatchStages[kPlanes - 1];
  static_assert(kFirst + kSecond <= kMostGroupTaps && kPlanes <= kMostPlanes);
};

struct Parameters {
  CUtensorMap x[kMostWindows];  // planes lie behind each other, as images
  CUtensorMap dy;
  PatchPlan g;
  float* out;  // [split_k][OC][taps][IC]
};

/// At places the images follow the channels.
template <class K>
__device__ __forceinline__ BoxAt at_box(int channel, int image, int row, int column) {
  return K::kAtPlaces ? BoxAt{channel, image, column, row} : BoxAt{channel, column, row, image};
}

/// The threads that ask for the copies of a block: one for dY, one for X.
template <class K>
__device__ void copy_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                           UnitWalk<TapGroup> walk, bool copies_dy) {
  const PatchPlan& g = p.g;
  RingPosition<K::kStages> at(1);
  while (walk.next()) {
    const PatchUnit unit = unit_of(g, walk.index());
    for (int patch = unit.first; patch < unit.first + unit.patches; ++patch) {
      const PatchStart start = start_of(g, patch);
      wait(&ring.empty[at.stage], at.parity);
      std::uint64_t* const barrier = &ring.full[at.stage];
      unsigned char* const stage = shared + at.stage * K::kPlanes * g.plane_bytes;
      if (copies_dy) {
        arrive_expecting(barrier, K::kPlanes * g.copied_bytes);
      }
      for (int plane = 0; plane < K::kPlanes; ++plane) {
        unsigned char* const to = stage + plane * g.plane_bytes;
        const int image = start.image + plane * g.images;
        if (copies_dy) {
          copy_box(to, &p.dy, barrier, at_box<K>(unit.oc, image, start.row, start.column));
          continue;
        }
        for (int w = 0; w < g.windows; ++w) {
          const PatchWindow& window = g.window[w];
          copy_box(to + window.offset, &p.x[w], barrier,
                   at_box<K>(unit.ic, image, start.row + window.first_row,
                             start.column + window.first_column));
        }
      }
      at.advance();
    }
  }
}

__device__ __forceinline__ std::uint32_t unsigned_of(int value) {
  return static_cast<std::uint32_t>(value);
}

/// sums += all products of two planes in a patch in a row, through one tap. adds: not the first.
template <class K>
__device__ __forceinline__ void multiply_rows(float (&sums)[32], const TapGroup::Tap& tap,
                                              std::uint32_t gradients, std::uint32_t pixels,
                                              bool adds) {
  const std::uint32_t pitch = unsigned_of(tap.pitch), first = pixels + unsigned_of(tap.offset);
#pragma unroll
  for (int k = 0; k < K::kRows / 2; ++k) {  // two rows are the terms of a product
    multiply_bf16<kPatchBlock, true, true>(
        sums, operand(gradients + unsigned_of(k) * kNextTransposedK, 1024, 0),
        operand(first + unsigned_of(2 * k) * pitch, pitch, 0), adds || k > 0);
  }
}

/// The same at places, of a row of them after the other.
__device__ __forceinline__ void multiply_places(float (&sums)[32], const PatchPlan& g,
                                                const TapGroup::Tap& tap, const MetPlaces& met,
                                                std::uint32_t gradients, std::uint32_t pixels) {
  const int place_bytes = g.patch_images * kRowBytes;
  const int products = (met.end_column - met.first_column) * (g.patch_images / kTermImages);
  for (int row = met.first_row; row < met.end_row; ++row) {
    std::uint32_t left =
        gradients + unsigned_of((row * g.columns + met.first_column) * place_bytes);
    std::uint32_t right =
        pixels + unsigned_of(tap.offset + row * tap.pitch + met.first_column * place_bytes);
    for (int i = 0; i < products; ++i) {
      fence_sums();
      multiply_bf16<kPatchBlock, true, true>(sums, operand(left, 1024, 0), operand(right, 1024, 0),
                                             true);
      commit_products();
      wait_for_products<1>();
      left += kNextTransposedK;
      right += kNextTransposedK;
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

/// The products of a patch through one tap; those of planes are summed up before they are added.
template <class K>
__device__ __forceinline__ void add_tap(float (&sums)[32], const PatchPlan& g,
                                        const TapGroup::Tap& tap, const PatchStart& start,
                                        std::uint32_t stage) {
  const MetPlaces met = K::kAtPlaces ? places_of(g, tap, start) : MetPlaces{};
  if constexpr (K::kPlanes == 1) {
    multiply_places(sums, g, tap, met, stage, stage);
  } else {
    constexpr int kFirstProduct = first_plane_product(K::kPlanes);
    float products[32] = {};
    if constexpr (!K::kAtPlaces) {
      fence_sums();
    }
#pragma unroll
    for (int product = kFirstProduct; product < kPlaneProducts; ++product) {
      const std::uint32_t left = stage + unsigned_of(left_plane(product) * g.plane_bytes);
      const std::uint32_t right = stage + unsigned_of(right_plane(product) * g.plane_bytes);
      if constexpr (K::kAtPlaces) {
        multiply_places(products, g, tap, met, left, right);
        wait_for_products<0>();
      } else {
        multiply_rows<K>(products, tap, left, right, product > kFirstProduct);
      }
    }
    if constexpr (!K::kAtPlaces) {
      commit_products();
      wait_for_products<0>();
    }
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      sums[i] += products[i];
    }
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
    if constexpr (K::kPlanes == 1 && !K::kAtPlaces) {
      const auto issue = [&](int stage, bool adds) {
        const std::uint32_t plane = base + unsigned_of(stage) * plane_bytes;
        fence_sums();
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          multiply_rows<K>(sums[t], taps[t], plane, plane, adds);
        }
      };
      multiply_steps(ring, at, unit.patches, issue, release);
    } else {
      clear<kTaps>(sums);
      for (int patch = unit.first; patch < unit.first + unit.patches; ++patch) {
        const PatchStart start = start_of(g, patch);
        wait(&ring.full[at.stage], at.parity);
        const std::uint32_t stage = base + unsigned_of(at.stage * K::kPlanes) * plane_bytes;
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          add_tap<K>(sums[t], g, taps[t], start, stage);
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
  unsigned char* const shared = begin_pipeline(raw, ring, 2);
  const auto walk = p.g.walk(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  run_pipeline<40, 232>([&](int which) { copy_units<K>(p, shared, ring, walk, which == 0); },
                        [&](int group) {
                          if (group == 0) {
                            multiply_units<K, K::kFirst>(p, shared, ring, walk, 0);
                          } else {
                            multiply_units<K, K::kSecond>(p, shared, ring, walk, K::kFirst);
                          }
                        });
}

/// Boxes of a view of images, `pixel`, `line` and `image` elements from one to the next.
CUtensorMap map_of(const PatchPlan& g, const void* base, const std::int64_t (&extent)[4],
                   std::int64_t pixel, std::int64_t line, std::int64_t image, int columns,
                   int rows) {
  const auto [channels, width, height, images] = extent;
  const Tensor4 in_a_row{
      Element::bf16, base, {channels, width, height, images}, {pixel, line, image}};
  const Tensor4 at_places{
      Element::bf16, base, {channels, images, width, height}, {image, pixel, line}};
  return g.at_places() ? box_map(kOperation, at_places, {g.patch_images, columns, rows})
                       : box_map(kOperation, in_a_row, {columns, rows, 1});
}

void fill_maps(Parameters& p, const GradientOperands& o, int planes) {
  const PatchPlan& g = p.g;
  const std::int64_t images = std::int64_t{g.images} * planes;
  const std::int64_t y_line = o.dy.pitch * g.out_width, x_line = o.x.pitch * g.width;
  p.dy = map_of(g, o.dy.plane[0], {g.out_channels, g.out_width, g.out_height, images}, o.dy.pitch,
                y_line, y_line * g.out_height, g.columns, g.rows);
  for (int w = 0; w < g.windows; ++w) {
    const PatchWindow& window = g.window[w];
    const std::int64_t first = window.row_class * x_line + window.column_class * o.x.pitch;
    p.x[w] = map_of(g, o.x.plane[0] + first,
                    {g.in_channels, ceil_div(g.width - window.column_class, g.column_stride),
                     ceil_div(g.height - window.row_class, g.row_stride), images},
                    o.x.pitch * g.column_stride, x_line * g.row_stride, x_line * g.height,
                    window.columns, window.rows);
  }
}

template <class K>
void launch_tile(const Parameters& p) {
  const int workers = std::min(p.g.units, multiprocessor_count());
  const int bytes = 1024 + K::kStages * K::kPlanes * p.g.plane_bytes;
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
  p.g.at_places()             ? launch_rows<0, kPlanes>(p)
  : p.g.rows == kPatchRows[0] ? launch_rows<kPatchRows[0], kPlanes>(p)
                              : launch_rows<kPatchRows[1], kPlanes>(p);
}

}  // namespace

std::int64_t run_patches(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const int planes = planes_of(conv.plan.arithmetic);
  const GradientOperands o = gradient_operands(kOperation, conv, operands, planes);
  Parameters p;
  p.g = conv.data<PatchPlan>();
  p.out = o.out;
  fill_maps(p, o, planes);
  if (planes == 1) {
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
