// Sk-dilated in patches (patches.h) for compute capability 9.0: a block multiplies dY of a patch,
// transposed, with what each of up to nine taps meets, so that what is copied once serves all. A
// tap begins elsewhere in its window: where the tensor core begins to read.
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

/// kFirst, kSecond: taps of the two warpgroups that multiply.
template <int kFirstTaps, int kSecondTaps, int kRowCount, int kPlaneCount>
struct Tile {
  static constexpr int kFirst = kFirstTaps, kSecond = kSecondTaps;
  static constexpr int kRowPairs = kRowCount / 2;  // of a patch
  static constexpr int kPlanes = kPlaneCount, kStages = kPatchStages[kPlanes - 1];
  static_assert(kFirst + kSecond <= kMostGroupTaps && kPlanes <= kMostPlanes);
};

struct Parameters {
  CUtensorMap x[kMostWindows];  // planes lie behind each other, as images
  CUtensorMap dy;
  PatchPlan g;
  float* out;  // [split_k][OC][taps][IC]
};

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
          copy_box(to, &p.dy, barrier, {unit.oc, start.column, start.row, image});
          continue;
        }
        for (int w = 0; w < g.windows; ++w) {
          const PatchWindow& window = g.window[w];
          copy_box(
              to + window.offset, &p.x[w], barrier,
              {unit.ic, start.column + window.first_column, start.row + window.first_row, image});
        }
      }
      at.advance();
    }
  }
}

/// The taps of one warpgroup in a stage.
template <int kTaps>
struct Taps {
  std::uint32_t offset[kTaps], pitch[kTaps];

  __device__ __forceinline__ Taps(const TapGroup& group, int first) {
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      offset[t] = static_cast<std::uint32_t>(group.tap[first + t].offset);
      pitch[t] = static_cast<std::uint32_t>(group.tap[first + t].pitch);
    }
  }
  /// Two rows of the patch, the terms of a product.
  __device__ __forceinline__ std::uint64_t pixels(std::uint32_t plane, int t, int two_rows) const {
    const std::uint32_t at = static_cast<std::uint32_t>(2 * two_rows) * pitch[t];
    return operand(plane + offset[t] + at, pitch[t], 0);
  }
};

__device__ __forceinline__ std::uint64_t gradients(std::uint32_t plane, int two_rows) {
  return operand(plane + static_cast<std::uint32_t>(two_rows) * kNextTransposedK, 1024, 0);
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

/// A warpgroup that multiplies: taps first to first + kTaps - 1 of each group.
template <class K, int kTaps>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                               UnitWalk<TapGroup> walk, int first) {
  const PatchPlan& g = p.g;
  const std::uint32_t base = shared_address(shared);
  const auto plane_bytes = static_cast<std::uint32_t>(g.plane_bytes);
  const auto release = [&](int stage) {
    if (threadIdx.x % 128 == 0) {
      arrive(&ring.empty[stage]);
    }
  };
  RingPosition<K::kStages> at(0);
  float sums[kTaps][32];
  while (walk.next()) {
    const PatchUnit unit = unit_of(g, walk.index());
    const Taps<kTaps> taps(walk.group(), first);
    if constexpr (K::kPlanes == 1) {
      const auto issue = [&](int stage, bool adds) {
        const std::uint32_t plane = base + static_cast<std::uint32_t>(stage) * plane_bytes;
        fence_sums();
#pragma unroll
        for (int k = 0; k < K::kRowPairs; ++k) {
#pragma unroll
          for (int t = 0; t < kTaps; ++t) {
            multiply_bf16<kPatchBlock, true, true>(sums[t], gradients(plane, k),
                                                   taps.pixels(plane, t, k), adds || k > 0);
          }
        }
      };
      multiply_steps(ring, at, unit.patches, issue, release);
    } else {
      float products[32];
#pragma unroll
      for (int t = 0; t < kTaps; ++t) {
#pragma unroll
        for (float& sum : sums[t]) {
          sum = 0.0F;
        }
      }
      for (int patch = 0; patch < unit.patches; ++patch) {
        wait(&ring.full[at.stage], at.parity);
        const std::uint32_t stage =
            base + static_cast<std::uint32_t>(at.stage * K::kPlanes) * plane_bytes;
#pragma unroll
        for (int t = 0; t < kTaps; ++t) {
          constexpr int kFirstProduct = first_plane_product(K::kPlanes);
          fence_sums();
#pragma unroll
          for (int product = kFirstProduct; product < kPlaneProducts; ++product) {
            const auto left = static_cast<std::uint32_t>(left_plane(product));
            const auto right = static_cast<std::uint32_t>(right_plane(product));
#pragma unroll
            for (int k = 0; k < K::kRowPairs; ++k) {
              multiply_bf16<kPatchBlock, true, true>(
                  products, gradients(stage + left * plane_bytes, k),
                  taps.pixels(stage + right * plane_bytes, t, k), product > kFirstProduct || k > 0);
            }
          }
          commit_products();
          wait_for_products<0>();
#pragma unroll
          for (int i = 0; i < 32; ++i) {
            sums[t][i] += products[i];
          }
        }
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

void fill_maps(Parameters& p, const GradientOperands& o, int planes) {
  const PatchPlan& g = p.g;
  const std::int64_t images = std::int64_t{g.images} * planes;
  const std::int64_t y_line = o.dy.pitch * g.out_width, x_line = o.x.pitch * g.width;
  p.dy = box_map(kOperation,
                 {Element::bf16,
                  o.dy.plane[0],
                  {g.out_channels, g.out_width, g.out_height, images},
                  {o.dy.pitch, y_line, y_line * g.out_height}},
                 {kPatchWidth, g.rows, 1});
  for (int w = 0; w < g.windows; ++w) {
    const PatchWindow& window = g.window[w];
    const std::int64_t first = window.row_class * x_line + window.column_class * o.x.pitch;
    p.x[w] = box_map(kOperation,
                     {Element::bf16,
                      o.x.plane[0] + first,
                      {g.in_channels, ceil_div(g.width - window.column_class, g.column_stride),
                       ceil_div(g.height - window.row_class, g.row_stride), images},
                      {o.x.pitch * g.column_stride, x_line * g.row_stride, x_line * g.height}},
                     {window.columns, window.rows, 1});
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
  p.g.rows == kPatchRows[0] ? launch_rows<kPatchRows[0], kPlanes>(p)
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
