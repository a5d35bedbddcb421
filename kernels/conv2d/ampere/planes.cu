// ConvV2 and KS-deconv in strict fp32 on the bf16 tensor cores of compute capability 8.0 and newer:
// six products of bfloat16 planes, as in hopper/planes.cu, which says why. Pixels are split in
// registers as they are read, filters beforehand in memory. Sums begin anew after 16 terms, the
// small products first, and are added to others in registers.
#include "cks/kernels/conv2d/ampere/box_unit.cuh"
#include "cks/kernels/conv2d/ampere/plane_sums.cuh"

namespace cks::kernels::ampere {
namespace {

/// kIsTransposed: the planes lie with source channels a row (KS-deconv). kChunkBytes: what is
/// copied of pixels at a time, 16 or 4 bytes.
template <int kChannelCount, int kPositionCount, int kWarpRowCount, bool kIsTransposed,
          int kChunkBytes>
struct Tile {
  static constexpr bool kTransposed = kIsTransposed;
  static constexpr int kWarpRows = kWarpRowCount, kWarpColumns = 2;
  static constexpr int kThreads = kWarpRows * kWarpColumns * 32, kStages = 2;
  static constexpr int kPlanes = kMostPlanes;
  static constexpr int kChannels = kChannelCount, kPositions = kPositionCount;
  static constexpr int kStep = 32;  // source channels
  static constexpr int kRowTiles = kPositions / kWarpRows / 16;
  static constexpr int kColumnTiles = kChannels / kWarpColumns / 8;
  // What box_copies.cuh copies.
  static constexpr int kChunk = kChunkBytes, kFilterChunk = 16;
  static constexpr int kPixelBytes = 4, kFilterBytes = 2;
  static constexpr int kPixelRowBytes = kStep * kPixelBytes;
  static constexpr int kFilterRowBytes = (kTransposed ? kChannels : kStep) * kFilterBytes;
  static constexpr int kFilterRows = kTransposed ? kStep : kChannels;
  static constexpr int kPixelStageBytes = kPositions * kPixelRowBytes;
  static constexpr int kFilterPlaneBytes = kFilterRows * kFilterRowBytes;
  static constexpr int kStageBytes = kPixelStageBytes + kPlanes * kFilterPlaneBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;

  static __device__ __forceinline__ int pixel_place(int row, int byte) {
    return place_for_words<kPixelRowBytes>(row, byte);
  }
  static __device__ __forceinline__ int filter_place(int row, int byte) {
    if constexpr (kTransposed) {
      return place_for_matrices<kFilterRowBytes>(row, byte);
    } else {
      return place_in_64(row, byte);
    }
  }
};

/// The planes of the pixels of 16 source channels. rows: the warp's first.
template <class K>
__device__ __forceinline__ void load_pixels(std::uint32_t (&a)[kMostPlanes][K::kRowTiles][4],
                                            std::uint32_t pixels, int rows, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int row = rows + m * 16 + q % 2 * 8 + lane / 4;
      const int byte = (part * 16 + q / 2 * 8 + lane % 4 * 2) * 4;
      std::uint32_t planes[kMostPlanes];
      split_pair(load_pair(pixels + K::pixel_place(row, byte)), planes);
#pragma unroll
      for (int plane = 0; plane < kMostPlanes; ++plane) {
        a[plane][m][q] = planes[plane];
      }
    }
  }
}

/// Of 16 source channels.
template <class K>
__device__ __forceinline__ void multiply_part(Sums<K>& sums, std::uint32_t stage,
                                              const WarpPart& warp, int part) {
  std::uint32_t a[kMostPlanes][K::kRowTiles][4];
  load_pixels<K>(a, stage, warp.row, part);
  multiply_planes(sums, a, [&](auto& b, int plane, int tile) {
    const std::uint32_t filter = stage + K::kPixelStageBytes + plane * K::kFilterPlaneBytes;
    load_columns<K::kTransposed>(b, warp.column + tile * 8, part, [&](int row, int byte) {
      return filter + K::filter_place(row, byte);
    });
  });
}

template <class K>
__global__ void __launch_bounds__(K::kThreads, K::kThreads == 256 ? 1 : 2)
    planes_kernel(const __grid_constant__ BoxParameters<float> p) {
  cuda::begin_kernel();
  run_unit<K>(p, [](Sums<K>& sums, std::uint32_t stage, const WarpPart& warp, auto&& copy_next) {
    copy_next();
#pragma unroll 1  // both at once take more registers than there are
    for (int part = 0; part < K::kStep / 16; ++part) {
      multiply_part<K>(sums, stage, warp, part);
    }
  });
}

template <class K>
void launch_tile(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dProblem& problem = conv.problem;
  const hopper::NarrowPixels filter = hopper::split_into_planes(
      conv.plan.method(), static_cast<const float*>(o.w), problem.OC * problem.FH * problem.FW,
      problem.IC / problem.G, problem.IC / problem.G, kMostPlanes,
      static_cast<std::uint16_t*>(o.workspace));
  launch_units<K>(planes_kernel<K>, conv, o,
                  operands_of<float>(conv, o, filter.plane[0], filter.pitch,
                                     filter.plane[1] - filter.plane[0]));
}

template <bool kTransposed>
void launch_planes(const PreparedConv2d& conv, const Conv2dOperands& o) {
  if (!is_wide(conv.problem, conv.plan.pass)) {
    launch_tile<Tile<64, 64, 2, kTransposed, 4>>(conv, o);
  } else if (conv.plan.tile == Conv2dTile{128, 128}) {
    launch_tile<Tile<128, 128, 4, kTransposed, 16>>(conv, o);
  } else {
    launch_tile<Tile<64, 64, 2, kTransposed, 16>>(conv, o);
  }
}

}  // namespace

std::int64_t run_planes80(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  if (conv.plan.pass == Conv2dPass::forward) {
    launch_planes<false>(conv, operands);
  } else {
    launch_planes<true>(conv, operands);
  }
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::ampere
