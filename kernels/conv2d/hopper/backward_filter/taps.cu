// Sk-dilated for compute capability 9.0: products of dY, transposed, with the pixels that a tap
// meets, 64 terms at a time (gradient.h). Both operands lie with a term a row, as the copy engine
// brings them, so the tensor cores read them transposed, which tf32 does not allow: halves take its
// place. For strict fp32, float32 is split into three planes of bfloat16 beforehand.
#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/backward_filter/gradient.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/halves/factor.cuh"
#include "cks/kernels/hopper/pipeline.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kBoxBytes = kTerms * kRowBytes;

/// kHalves 2: 128 output channels, each warpgroup 64 of them and all columns; 1: 64 output
/// channels, each warpgroup half of the columns.
template <int kHalfCount, int kBlockCount, int kPlaneCount, int kStageCount,
          bool kIsFloat16 = false>
struct Tile {
  static constexpr bool kFloat16 = kIsFloat16;
  using Factor = std::conditional_t<kFloat16, HalvesFactor, NoFactor>;
  static constexpr int kHalves = kHalfCount, kBlocks = kBlockCount, kPlanes = kPlaneCount;
  static constexpr int kStages = kStageCount;
  static constexpr int kOwnBlocks = kHalves == 2 ? kBlocks : kBlocks / 2;  // of a warpgroup
  static constexpr int kColumns = kOwnBlocks * kBlock;
  static constexpr int kPlaneBytes = (kHalves + kBlocks) * kBoxBytes;
  static constexpr int kStageBytes = kPlanes * kPlaneBytes;
  static constexpr int kSharedBytes = 1024 + kStages * kStageBytes;
  static_assert(kSharedBytes + 256 <= 227 * 1024 && kPlanes <= kMostPlanes);
};

struct Parameters {
  CUtensorMap x[kMostPlanes];
  CUtensorMap dy[kMostPlanes];
  GradientPlan g;
  float* out;           // [split_k][OC][taps][IC]
  HalfOperands halves;  // whose exponents count
};

/// Where the columns of a unit lie in X.
template <class K>
struct ColumnBoxes {
  int channel[K::kBlocks], right[K::kBlocks], down[K::kBlocks];
  bool exist[K::kBlocks];

  __device__ __forceinline__ ColumnBoxes(const GradientPlan& g, const GradientTap& tap, int first) {
#pragma unroll
    for (int block = 0; block < K::kBlocks; ++block) {
      const Column column = column_of(g, tap, first + block);
      const int row = column.tap / g.filter_width;
      exist[block] = column.tap < g.filter_taps;
      channel[block] = column.channel;
      down[block] = exist[block] ? row * g.row_dilation : 0;
      right[block] = exist[block] ? (column.tap - row * g.filter_width) * g.column_dilation : 0;
    }
  }
};

template <class K>
__device__ __forceinline__ void copy_terms(const Parameters& p, const ColumnBoxes<K>& columns,
                                           const Term& at, int channel, bool copies_dy,
                                           unsigned char* stage, std::uint64_t* barrier) {
  const GradientPlan& g = p.g;
  const int output = (at.image * g.out_height + at.row) * g.out_width + at.column;
#pragma unroll
  for (int plane = 0; plane < K::kPlanes; ++plane) {
    unsigned char* to = stage + plane * K::kPlaneBytes;
    if (copies_dy) {
#pragma unroll
      for (int half = 0; half < K::kHalves; ++half) {
        copy_box(to + half * kBoxBytes, &p.dy[plane], barrier,
                 g.at_places ? BoxAt{channel + half * kBlock, at.column, at.row, at.image}
                             : BoxAt{channel + half * kBlock, output, 0, 0});
      }
      continue;
    }
    to += K::kHalves * kBoxBytes;
#pragma unroll
    for (int block = 0; block < K::kBlocks; ++block, to += kBoxBytes) {
      // Columns that do not exist are read outside: zeros.
      BoxAt pixel{columns.channel[block], at.column * g.column_stride - g.left,
                  at.row * g.row_stride - g.top, columns.exist[block] ? at.image : g.images};
      if (g.at_places) {
        pixel.axis1 += columns.right[block];
        pixel.axis2 += columns.down[block];
        copy_box(to, &p.x[plane], barrier, pixel);
      } else {
        copy_window(to, &p.x[plane], barrier, pixel,
                    {static_cast<std::uint16_t>(columns.right[block]),
                     static_cast<std::uint16_t>(columns.down[block])});
      }
    }
  }
}

/// The threads that ask for the copies of a block: one for dY, one for X.
template <class K>
__device__ void copy_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                           UnitWalk<GradientTap> walk, bool copies_dy) {
  RingPosition<K::kStages> at(1);
  while (walk.next()) {
    const GradientUnit unit = unit_of(p.g, walk.group(), walk.index());
    const ColumnBoxes<K> columns(p.g, walk.group(), unit.block);
    for (int step = 0; step < steps_of(unit); ++step) {
      // Without terms one step reads outside: zeros.
      const Term term =
          unit.terms == 0 ? Term{p.g.images, 0, 0} : term_of(p.g, walk.group(), unit.first + step);
      wait(&ring.empty[at.stage], at.parity);
      if (copies_dy) {
        arrive_expecting(&ring.full[at.stage], K::kStageBytes);
      }
      copy_terms<K>(p, columns, term, unit.row, copies_dy, shared + at.stage * K::kStageBytes,
                    &ring.full[at.stage]);
      at.advance();
    }
  }
}

template <class K>
__device__ __forceinline__ void multiply_terms(float* sums, std::uint32_t dy, std::uint32_t x,
                                               bool adds) {
  constexpr int kFirst = first_plane_product(K::kPlanes);
  const std::uint64_t left = operand(dy, 1024, kBoxBytes), right = operand(x, 1024, kBoxBytes);
#pragma unroll
  for (int product = kFirst; product < kPlaneProducts; ++product) {
#pragma unroll
    for (int k = 0; k < kTerms / 16; ++k) {
      const std::uint32_t next = k * kNextTransposedK;
      multiply_narrow<K::kColumns, true, true, K::kFloat16>(
          sums, moved(left, left_plane(product) * K::kPlaneBytes + next),
          moved(right, right_plane(product) * K::kPlaneBytes + next),
          adds || product > kFirst || k > 0);
    }
  }
}

template <class K>
__device__ __forceinline__ void store_sums(const Parameters& p, const float* sums,
                                           const GradientTap& tap, const GradientUnit& unit,
                                           int group) {
  const GradientPlan& g = p.g;
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  float* const out = p.out + unit.slice * size;
  const auto factor = K::Factor::of(p.halves);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int oc =
        unit.row + (K::kHalves == 2 ? group * 64 : 0) + thread / 32 * 16 + lane / 4 + i * 8;
#pragma unroll
    for (int block = 0; block < K::kOwnBlocks; ++block) {
      const Column column =
          column_of(g, tap, unit.block + block + (K::kHalves == 2 ? 0 : group * K::kOwnBlocks));
      float* const row = out + (std::int64_t{oc} * g.filter_taps + column.tap) * g.in_channels;
      const bool is_there = oc < g.out_channels && column.tap < g.filter_taps;
#pragma unroll
      for (int j = 0; j < kBlock / 8; ++j) {
        const int ic = column.channel + j * 8 + lane % 4 * 2;
        const float* const pair = sums + (block * (kBlock / 8) + j) * 4 + i * 2;
        if (is_there && ic < g.in_channels) {  // their number is even
          *reinterpret_cast<float2*>(row + ic) = make_float2(factor(pair[0]), factor(pair[1]));
        }
      }
    }
  }
}

template <class K>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, Ring<K::kStages>& ring,
                               UnitWalk<GradientTap> walk, int group) {
  const bool is_leader = threadIdx.x % 128 == 0;
  const std::uint32_t base = shared_address(shared);
  const std::uint32_t dy = base + (K::kHalves == 2 ? group * kBoxBytes : 0);
  const std::uint32_t x =
      base + K::kHalves * kBoxBytes + (K::kHalves == 2 ? 0 : group * K::kOwnBlocks * kBoxBytes);
  RingPosition<K::kStages> at(0);
  float products[K::kColumns / 2];
  const auto issue = [&](int stage, bool adds) {
    fence_sums();
    multiply_terms<K>(products, dy + stage * K::kStageBytes, x + stage * K::kStageBytes, adds);
  };
  const auto release = [&](int stage) {
    if (is_leader) {
      arrive(&ring.empty[stage]);
    }
  };
  while (walk.next()) {
    const GradientUnit unit = unit_of(p.g, walk.group(), walk.index());
    if constexpr (K::kPlanes == 1) {
      multiply_steps(ring, at, steps_of(unit), issue, release);
      store_sums<K>(p, products, walk.group(), unit, group);
    } else {
      float sums[K::kColumns / 2];
      multiply_cut_steps(
          ring, at, steps_of(unit), products, sums, [&](int stage) { issue(stage, false); },
          release);
      store_sums<K>(p, sums, walk.group(), unit, group);
    }
  }
}

template <class K>
__global__ void __launch_bounds__(kPipelineThreads, 1)
    taps_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ Ring<K::kStages> ring;
  unsigned char* const shared = begin_pipeline(raw, ring, 2);
  const auto walk = p.g.walk(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  run_pipeline<56, 224>([&](int which) { copy_units<K>(p, shared, ring, walk, which == 0); },
                        [&](int group) { multiply_units<K>(p, shared, ring, walk, group); });
}

constexpr const char* kOperation = "sk_dilated";

void fill_maps(Parameters& p, Element element, const NarrowPixels& x, const NarrowPixels& dy,
               int planes) {
  const GradientPlan& g = p.g;
  const std::int64_t outputs = std::int64_t{g.images} * g.out_height * g.out_width;
  for (int plane = 0; plane < planes; ++plane) {
    const Tensor4 images{element,
                         x.plane[plane],
                         {g.in_channels, g.width, g.height, g.images},
                         {x.pitch, x.pitch * g.width, x.pitch * g.width * g.height}};
    Tensor4 gradients{element,
                      dy.plane[plane],
                      {g.out_channels, g.out_width, g.out_height, g.images},
                      {dy.pitch, dy.pitch * g.out_width, dy.pitch * g.out_width * g.out_height}};
    if (g.at_places) {
      p.x[plane] = box_map(kOperation, images, {1, 1, kTerms});
      p.dy[plane] = box_map(kOperation, gradients, {1, 1, kTerms});
      continue;
    }
    const Window columns{-g.left, g.column_stride, g.out_width};
    const Window rows{-g.top, g.row_stride, g.out_height};
    p.x[plane] = window_map(kOperation, images, columns, rows, kTerms);
    gradients.extent[1] = outputs;  // one after the other
    gradients.extent[2] = gradients.extent[3] = 1;
    gradients.pitch[1] = gradients.pitch[2] = outputs * dy.pitch;
    p.dy[plane] = box_map(kOperation, gradients, {kTerms, 1, 1});
  }
}

template <class K>
void launch_tile(const Parameters& p) {
  const int workers = std::min(p.g.units, multiprocessor_count());
  cuda::launch(kOperation, taps_kernel<K>, static_cast<unsigned>(workers), kPipelineThreads,
               K::kSharedBytes, p);
}

template <bool kFloat16>
void launch_narrow(const PreparedConv2d& conv, const Parameters& p) {
  const auto is = [&](std::int64_t rows, std::int64_t columns) {
    return conv.plan.tile == Conv2dTile{rows, columns};
  };
  if (is(128, 256)) {
    launch_tile<Tile<2, 4, 1, 4, kFloat16>>(p);
  } else if (is(128, 128)) {
    launch_tile<Tile<2, 2, 1, 6, kFloat16>>(p);
  } else {
    launch_tile<Tile<1, 4, 1, 5, kFloat16>>(p);
  }
}

}  // namespace

std::int64_t run_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& problem = conv.problem;
  Parameters p;
  p.g = conv.data<GradientPlan>();
  p.out = static_cast<float*>(cuda::gradient_slices(conv, operands));
  if (conv.plan.arithmetic == Arithmetic::fp16) {
    p.halves = half_operands(kOperation, conv, operands, bytes_of_slices(conv.plan, problem));
    const auto pixels = [](const void* halves, std::int64_t channels) {
      return NarrowPixels{{static_cast<const std::uint16_t*>(half_elements(halves))}, channels};
    };
    fill_maps(p, Element::fp16, pixels(p.halves.first, problem.IC),
              pixels(p.halves.second, problem.OC), 1);
    launch_narrow<true>(conv, p);
  } else {
    const int planes = planes_of(conv.plan.arithmetic);
    const GradientOperands o = gradient_operands(kOperation, conv, operands, planes);
    fill_maps(p, Element::bf16, o.x, o.dy, planes);
    planes == 1 ? launch_narrow<false>(conv, p) : launch_tile<Tile<2, 2, 3, 2>>(p);
  }
  cuda::add_gradient_slices(conv, operands);
  return executed_of(p.g);
}

}  // namespace cks::kernels::hopper
