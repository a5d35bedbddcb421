// Sk-dilated for compute capability 9.0: products of dY, transposed, with the pixels that a tap
// meets, 64 terms at a time (gradient.h). Both operands lie with a term a row, as the copy engine
// brings them, so the tensor cores read them transposed, which only bfloat16 allows. Float32 is
// split into planes of bfloat16 beforehand: three for strict fp32, two in place of tf32.
#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/box_maps.h"
#include "cks/kernels/conv2d/hopper/boxes.h"
#include "cks/kernels/conv2d/hopper/gradient.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/hopper/async.cuh"
#include "cks/kernels/hopper/wgmma.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kThreads = 384;
constexpr int kBoxBytes = kTerms * kRowBytes;
constexpr int kMostPlanes = 3;

/// kHalves 2: 128 output channels, each warpgroup 64 of them and all columns; 1: 64 output
/// channels, each warpgroup half of the columns.
template <int kHalfCount, int kBlockCount, int kPlaneCount, int kStageCount>
struct Tile {
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
  float* out;  // [split_k][OC][taps][IC]
};

/// The units of a block one after the other; all roles walk alike.
class GradientWalk {
 public:
  __device__ explicit GradientWalk(const GradientPlan& g) : g_(g) {}

  __device__ __forceinline__ bool next() {
    const int workers = static_cast<int>(gridDim.x);
    for (; turn_ * workers < g_.units; ++turn_) {
      const int index = unit_of(turn_, static_cast<int>(blockIdx.x), workers);
      if (index >= g_.units) {
        continue;
      }
      ++turn_;
      while (tap_ + 1 < g_.taps && index >= g_.tap[tap_ + 1].first_unit) {
        ++tap_;
      }
      unit = unit_of_tap(g_, tap(), index - tap().first_unit);
      return true;
    }
    return false;
  }
  const __device__ __forceinline__ GradientTap& tap() const { return g_.tap[tap_]; }

  GradientUnit unit{};

 private:
  const GradientPlan& g_;
  int turn_ = 0, tap_ = 0;
};

/// Where the columns of a unit lie in X.
template <class K>
struct ColumnBoxes {
  int channel[K::kBlocks], right[K::kBlocks], down[K::kBlocks];
  bool exist[K::kBlocks];

  __device__ __forceinline__ ColumnBoxes(const GradientPlan& g, const GradientWalk& walk) {
#pragma unroll
    for (int block = 0; block < K::kBlocks; ++block) {
      const Column column = column_of(g, walk.tap(), walk.unit.block + block);
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
                                           const Term& at, int channel, unsigned char* stage,
                                           std::uint64_t* barrier) {
  const GradientPlan& g = p.g;
  const int output = (at.image * g.out_height + at.row) * g.out_width + at.column;
#pragma unroll
  for (int plane = 0; plane < K::kPlanes; ++plane) {
    unsigned char* to = stage + plane * K::kPlaneBytes;
#pragma unroll
    for (int half = 0; half < K::kHalves; ++half, to += kBoxBytes) {
      copy_box(to, &p.dy[plane], barrier,
               g.at_places ? BoxAt{channel + half * kBlock, at.column, at.row, at.image}
                           : BoxAt{channel + half * kBlock, output, 0, 0});
    }
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

/// The thread that asks for all copies of a block.
template <class K>
__device__ void copy_units(const Parameters& p, unsigned char* shared, std::uint64_t* full,
                           std::uint64_t* empty, GradientWalk walk) {
  RingPosition<K::kStages> ring(1);
  while (walk.next()) {
    const ColumnBoxes<K> columns(p.g, walk);
    const bool is_empty = walk.unit.terms == 0;  // one step that adds zeros
    for (int term = 0; term < (is_empty ? 1 : walk.unit.terms); ++term) {
      const Term at =
          is_empty ? Term{p.g.images, 0, 0} : term_of(p.g, walk.tap(), walk.unit.first + term);
      wait(&empty[ring.stage], ring.parity);
      arrive_expecting(&full[ring.stage], K::kStageBytes);
      copy_terms<K>(p, columns, at, walk.unit.row, shared + ring.stage * K::kStageBytes,
                    &full[ring.stage]);
      ring.advance();
    }
  }
}

/// Products of planes, the smallest first: all six of three planes, the last three of two.
template <class K>
__device__ __forceinline__ void multiply_terms(float* sums, std::uint32_t dy, std::uint32_t x,
                                               bool adds) {
  constexpr int kLeft[] = {2, 0, 1, 1, 0, 0};
  constexpr int kRight[] = {0, 2, 1, 0, 1, 0};
  constexpr int kFirst = K::kPlanes == 3 ? 0 : K::kPlanes == 2 ? 3 : 5;
#pragma unroll
  for (int product = kFirst; product < 6; ++product) {
    const std::uint32_t left = dy + kLeft[product] * K::kPlaneBytes;
    const std::uint32_t right = x + kRight[product] * K::kPlaneBytes;
#pragma unroll
    for (int k = 0; k < kTerms / 16; ++k) {
      multiply_bf16<K::kColumns, true, true>(sums,
                                             operand(left + k * kNextTransposedK, 1024, kBoxBytes),
                                             operand(right + k * kNextTransposedK, 1024, kBoxBytes),
                                             adds || product > kFirst || k > 0);
    }
  }
}

template <class K>
__device__ __forceinline__ void store_sums(const Parameters& p, const float* sums,
                                           const GradientWalk& walk, int group) {
  const GradientPlan& g = p.g;
  const int thread = static_cast<int>(threadIdx.x) % 128, lane = thread % 32;
  const std::int64_t size = std::int64_t{g.out_channels} * g.filter_taps * g.in_channels;
  float* const out = p.out + walk.unit.slice * size;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int oc =
        walk.unit.row + (K::kHalves == 2 ? group * 64 : 0) + thread / 32 * 16 + lane / 4 + i * 8;
#pragma unroll
    for (int block = 0; block < K::kOwnBlocks; ++block) {
      const Column column = column_of(
          g, walk.tap(), walk.unit.block + block + (K::kHalves == 2 ? 0 : group * K::kOwnBlocks));
      float* const row = out + (std::int64_t{oc} * g.filter_taps + column.tap) * g.in_channels;
      const bool is_there = oc < g.out_channels && column.tap < g.filter_taps;
#pragma unroll
      for (int j = 0; j < kBlock / 8; ++j) {
        const int ic = column.channel + j * 8 + lane % 4 * 2;
        const float* const pair = sums + (block * (kBlock / 8) + j) * 4 + i * 2;
        if (is_there && ic < g.in_channels) {  // their number is even
          *reinterpret_cast<float2*>(row + ic) = make_float2(pair[0], pair[1]);
        }
      }
    }
  }
}

template <class K>
__device__ void multiply_units(const Parameters& p, unsigned char* shared, std::uint64_t* full,
                               std::uint64_t* empty, GradientWalk walk, int group) {
  const bool leads = threadIdx.x % 128 == 0;
  const std::uint32_t base = shared_address(shared);
  const std::uint32_t dy = K::kHalves == 2 ? group * kBoxBytes : 0;
  const std::uint32_t x =
      K::kHalves * kBoxBytes + (K::kHalves == 2 ? 0 : group * K::kOwnBlocks * kBoxBytes);
  RingPosition<K::kStages> ring(0);
  float products[K::kColumns / 2];
  if constexpr (K::kPlanes == 1) {
    while (walk.next()) {
      const int terms = walk.unit.terms == 0 ? 1 : walk.unit.terms;
      int before = 0;
      for (int term = 0; term < terms; ++term) {
        wait(&full[ring.stage], ring.parity);
        const std::uint32_t stage = base + ring.stage * K::kStageBytes;
        fence_sums();
        multiply_terms<K>(products, stage + dy, stage + x, term > 0);
        commit_products();
        wait_for_products<1>();  // the step before has been read
        if (term > 0 && leads) {
          arrive(&empty[before]);
        }
        before = ring.stage;
        ring.advance();
      }
      wait_for_products<0>();
      if (leads) {
        arrive(&empty[before]);
      }
      store_sums<K>(p, products, walk, group);
    }
  } else {
    float sums[K::kColumns / 2];
    while (walk.next()) {
      const int terms = walk.unit.terms == 0 ? 1 : walk.unit.terms;
#pragma unroll
      for (float& sum : sums) {
        sum = 0.0F;
      }
      for (int term = 0; term < terms; ++term) {
        wait(&full[ring.stage], ring.parity);
        const std::uint32_t stage = base + ring.stage * K::kStageBytes;
        fence_sums();
        multiply_terms<K>(products, stage + dy, stage + x, false);
        commit_products();
        wait_for_products<0>();
        if (leads) {
          arrive(&empty[ring.stage]);
        }
        ring.advance();
#pragma unroll
        for (int i = 0; i < K::kColumns / 2; ++i) {
          sums[i] += products[i];
        }
      }
      store_sums<K>(p, sums, walk, group);
    }
  }
}

template <class K>
__global__ void __launch_bounds__(kThreads, 1) taps_kernel(const __grid_constant__ Parameters p) {
  cuda::begin_kernel();
  extern __shared__ unsigned char raw[];
  __shared__ std::uint64_t full[K::kStages], empty[K::kStages];
  unsigned char* const shared = aligned_shared(raw);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < K::kStages; ++stage) {
      init_barrier(&full[stage], 1);
      init_barrier(&empty[stage], 2);
    }
    publish_barriers();
  }
  __syncthreads();
  GradientWalk walk(p.g);
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;
  if (warpgroup == 0) {
    give_registers<56>();
    if (threadIdx.x == 0) {
      copy_units<K>(p, shared, full, empty, walk);
    }
  } else {
    take_registers<224>();
    multiply_units<K>(p, shared, full, empty, walk, warpgroup - 1);
  }
}

/// Planes of pixels, dense but for what makes 16 bytes of 8 channels.
__global__ void split_pixels_kernel(const float* from, std::uint16_t* to, std::int64_t pixels,
                                    int channels, std::int64_t from_pitch, int pitch,
                                    std::int64_t plane_size, int planes) {
  cuda::begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const int pairs = pitch / 2;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < pixels * pairs; i += step) {
    const std::int64_t pixel = i / pairs;
    const int channel = static_cast<int>(i - pixel * pairs) * 2;
    float first = 0.0F, second = 0.0F;
    if (channel + 1 < channels) {
      const float2 pair = *reinterpret_cast<const float2*>(from + pixel * from_pitch + channel);
      first = pair.x;
      second = pair.y;
    } else if (channel < channels) {
      first = from[pixel * from_pitch + channel];
    }
    for (int plane = 0; plane < planes; ++plane) {
      const bfloat16 a(first), b(second);
      *reinterpret_cast<std::uint32_t*>(to + plane * plane_size + pixel * pitch + channel) =
          std::uint32_t{a.bits} | std::uint32_t{b.bits} << 16;
      first -= static_cast<float>(a);
      second -= static_cast<float>(b);
    }
  }
}

/// An operand in bfloat16: as it lies, or its planes.
struct Pixels {
  const std::uint16_t* plane[kMostPlanes];
  std::int64_t pitch;
};

Pixels split_pixels(const char* operation, const void* from, std::int64_t pixels, int channels,
                    std::int64_t from_pitch, int planes, std::uint16_t* to) {
  const int pitch = static_cast<int>(round_up(std::int64_t{channels}, 8));
  const std::int64_t size = pixels * pitch;
  cuda::launch(operation, split_pixels_kernel, cuda::grid_for(size / 2, 256), 256, 0,
               static_cast<const float*>(from), to, pixels, channels, from_pitch, pitch, size,
               planes);
  Pixels split{{}, pitch};
  for (int plane = 0; plane < planes; ++plane) {
    split.plane[plane] = to + plane * size;
  }
  return split;
}

constexpr const char* kOperation = "sk_dilated";

void fill_maps(Parameters& p, const Pixels& x, const Pixels& dy, int planes) {
  const GradientPlan& g = p.g;
  const std::int64_t outputs = std::int64_t{g.images} * g.out_height * g.out_width;
  for (int plane = 0; plane < planes; ++plane) {
    const Tensor4 images{Element::bf16,
                         x.plane[plane],
                         {g.in_channels, g.width, g.height, g.images},
                         {x.pitch, x.pitch * g.width, x.pitch * g.width * g.height}};
    Tensor4 gradients{Element::bf16,
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
  cuda::launch(kOperation, taps_kernel<K>, static_cast<unsigned>(workers), kThreads,
               K::kSharedBytes, p);
}

void launch_plan(const PreparedConv2d& conv, Parameters& p, int planes) {
  const auto is = [&](std::int64_t rows, std::int64_t columns) {
    return conv.plan.tile == Conv2dTile{rows, columns};
  };
  if (planes == 3) {
    launch_tile<Tile<2, 2, 3, 2>>(p);
  } else if (planes == 2) {
    launch_tile<Tile<2, 2, 2, 3>>(p);
  } else if (is(128, 256)) {
    launch_tile<Tile<2, 4, 1, 4>>(p);
  } else if (is(128, 128)) {
    launch_tile<Tile<2, 2, 1, 6>>(p);
  } else {
    launch_tile<Tile<1, 4, 1, 5>>(p);
  }
}

std::int64_t run(const PreparedConv2d& conv, const Conv2dOperands& o, int planes) {
  const Conv2dProblem& problem = conv.problem;
  const std::int64_t size = problem.OC * problem.FH * problem.FW * problem.IC;
  const std::int64_t split_k = conv.plan.split_k;
  Parameters p;
  p.g = conv.data<GradientPlan>();
  auto* const partial = static_cast<float*>(o.workspace);
  auto* const result = static_cast<float*>(o.result);
  p.out = split_k > 1 ? partial : result;
  Pixels x{{static_cast<const std::uint16_t*>(o.x)}, problem.x_pitch};
  Pixels dy{{static_cast<const std::uint16_t*>(o.y)}, problem.y_pitch};
  if (planes > 1) {
    const std::int64_t slices = split_k > 1 ? round_up(size * split_k, 64) : 0;
    auto* const split = reinterpret_cast<std::uint16_t*>(partial + slices);
    const std::int64_t pixels = problem.N * problem.IH * problem.IW;
    x = split_pixels(kOperation, o.x, pixels, p.g.in_channels, problem.x_pitch, planes, split);
    dy = split_pixels(kOperation, o.y, problem.N * problem.OH * problem.OW, p.g.out_channels,
                      problem.y_pitch, planes, split + round_up(planes * pixels * x.pitch, 64));
  }
  fill_maps(p, x, dy, planes);
  launch_plan(conv, p, planes);
  if (split_k > 1) {
    cuda::add_slices(partial, result, size, split_k);
  }
  return executed_of(p.g);
}

}  // namespace

std::int64_t run_box_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return run(conv, operands, 1);
}

std::int64_t run_planes_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  return run(conv, operands, conv.plan.arithmetic == Arithmetic::tf32 ? 2 : 3);
}

}  // namespace cks::kernels::hopper
