// ConvV2 and KS-deconv in bf16 and tf32 for the tensor cores of compute capability 8.0 and newer.
// Positions are rows of the product, channels of the result its columns; both come as boxes.h says.
// A block computes a unit: its warps copy the stages of a ring and multiply them, 64 or 128 bytes
// of source channels at a time. The longest units come first, so blocks that end early take what is
// left.
#include "cks/kernels/conv2d/ampere/box_unit.cuh"

namespace cks::kernels::ampere {
namespace {

/// kWarps share a unit, two side by side. kRowLength: bytes of source channels that are multiplied
/// at a time. kIsTransposed: the filter lies with source channels a row (KS-deconv in bf16; that of
/// tf32 is transposed before). kChunkBytes: what is copied at a time, 16 or 4 bytes.
template <class T, int kChannelCount, int kPositionCount, int kWarps, int kRowLength,
          int kStageCount, bool kIsTransposed, int kChunkBytes>
struct Tile {
  using Value = T;
  static constexpr bool kBf16 = sizeof(T) == 2;
  static constexpr bool kTransposed = kIsTransposed;
  static constexpr int kThreads = kWarps * 32, kStages = kStageCount, kPlanes = 1;
  static constexpr int kChannels = kChannelCount, kPositions = kPositionCount;
  static constexpr int kStep = kRowLength / static_cast<int>(sizeof(T));  // source channels
  // A warp's part.
  static constexpr int kWarpColumns = 2, kWarpRows = kWarps / kWarpColumns;
  static constexpr int kRowTiles = kPositions / kWarpRows / 16;
  static constexpr int kColumnTiles = kChannels / kWarpColumns / 8;
  // What box_copies.cuh copies.
  static constexpr int kChunk = kChunkBytes, kFilterChunk = kChunkBytes;
  static constexpr int kPixelBytes = sizeof(T), kFilterBytes = sizeof(T);
  static constexpr int kPixelRowBytes = kRowLength;
  static constexpr int kFilterRowBytes = kTransposed ? kChannels * kFilterBytes : kRowLength;
  static constexpr int kFilterRows = kTransposed ? kStep : kChannels;
  static constexpr int kPixelStageBytes = kPositions * kPixelRowBytes;
  static constexpr int kFilterPlaneBytes = kFilterRows * kFilterRowBytes;
  static constexpr int kStageBytes = kPixelStageBytes + kFilterPlaneBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
  static constexpr int kSums = kRowTiles * kColumnTiles * 4;  // of a thread
  static constexpr int kBlocks =
      kWarps == 8 ? 1 : (kSums == 128 ? 2 : (kSums == 32 && kChunk == 16 ? 4 : 3));
  static_assert(kBf16 || !kTransposed, "words of 4 bytes are not turned");

  static __device__ __forceinline__ int pixel_place(int row, int byte) {
    return kRowLength == 64 ? place_in_64(row, byte) : place_for_matrices<kRowLength>(row, byte);
  }
  static __device__ __forceinline__ int filter_place(int row, int byte) {
    return kTransposed ? place_for_matrices<kFilterRowBytes>(row, byte) : pixel_place(row, byte);
  }
};

/// The pixels of 32 bytes of source channels. rows: the warp's first.
template <class K>
__device__ __forceinline__ void load_pixels(std::uint32_t (&a)[K::kRowTiles][4],
                                            std::uint32_t pixels, int rows, int part) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < K::kRowTiles; ++m) {
    load_matrices<false>(
        a[m], pixels + K::pixel_place(rows + m * 16 + lane % 16, part * 32 + lane / 16 * 16));
    if constexpr (!K::kBf16) {
#pragma unroll
      for (std::uint32_t& word : a[m]) {
        word = rounded_to_tf32(word);
      }
    }
  }
}

/// The filter of 32 bytes of source channels. columns: the warp's first channel.
template <class K>
__device__ __forceinline__ void load_filter(std::uint32_t (&b)[K::kColumnTiles][2],
                                            std::uint32_t filter, int columns, int part) {
  load_columns<K::kTransposed>(
      b, columns, part, [&](int row, int byte) { return filter + K::filter_place(row, byte); });
  if constexpr (!K::kBf16) {
#pragma unroll
    for (int n = 0; n < K::kColumnTiles; ++n) {
      b[n][0] = rounded_to_tf32(b[n][0]);
      b[n][1] = rounded_to_tf32(b[n][1]);
    }
  }
}

/// The copies are asked for once the first operands are read, so that products follow at once.
template <class K, class CopyNext>
__device__ __forceinline__ void multiply_step(Sums<K>& sums, std::uint32_t stage,
                                              const WarpPart& warp, CopyNext&& copy_next) {
#pragma unroll
  for (int part = 0; part < K::kPixelRowBytes / 32; ++part) {
    std::uint32_t a[K::kRowTiles][4], b[K::kColumnTiles][2];
    load_pixels<K>(a, stage, warp.row, part);
    load_filter<K>(b, stage + K::kPixelStageBytes, warp.column, part);
    if (part == 0) {
      copy_next();
    }
    multiply_tiles<K::kBf16>(sums, a, b);
  }
}

template <class K>
__global__ void __launch_bounds__(K::kThreads, K::kBlocks)
    box_kernel(const __grid_constant__ BoxParameters<typename K::Value> p) {
  cuda::begin_kernel();
  run_unit<K>(p, [](Sums<K>& sums, std::uint32_t stage, const WarpPart& warp, auto&& copy_next) {
    multiply_step<K>(sums, stage, warp, copy_next);
  });
}

template <class K>
void launch_tile(const PreparedConv2d& conv, const Conv2dOperands& o) {
  using T = typename K::Value;
  const Conv2dProblem& problem = conv.problem;
  const bool turns = conv.plan.pass == Conv2dPass::backward_data && !K::kTransposed;
  const T* filter = static_cast<const T*>(o.w);
  if constexpr (!K::kBf16) {
    if (turns) {
      hopper::transpose_filter(conv.plan.method(), problem, filter,
                               static_cast<float*>(o.workspace));
      filter = static_cast<const float*>(o.workspace);
    }
  }
  launch_units<K>(box_kernel<K>, conv, o,
                  operands_of<T>(conv, o, filter, (turns ? problem.OC : problem.IC) / problem.G));
}

template <class T, bool kTransposed>
void launch_box(const PreparedConv2d& conv, const Conv2dOperands& o) {
  const Conv2dTile& tile = conv.plan.tile;
  if (!is_wide(conv.problem, conv.plan.pass)) {
    launch_tile<Tile<T, 64, 64, 4, 64, 4, kTransposed, 4>>(conv, o);
  } else if (tile == Conv2dTile{128, 256}) {
    launch_tile<Tile<T, 128, 256, 8, 128, 3, kTransposed, 16>>(conv, o);
  } else if (tile == Conv2dTile{128, 128}) {
    launch_tile<Tile<T, 128, 128, 4, 64, 4, kTransposed, 16>>(conv, o);
  } else if (tile == Conv2dTile{64, 128}) {
    launch_tile<Tile<T, 64, 128, 4, 64, 4, kTransposed, 16>>(conv, o);
  } else {
    launch_tile<Tile<T, 64, 64, 4, 64, 4, kTransposed, 16>>(conv, o);
  }
}

}  // namespace

std::int64_t run_box80(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  if (conv.plan.arithmetic == Arithmetic::tf32) {
    launch_box<float, false>(conv, operands);
  } else if (conv.plan.pass == Conv2dPass::forward) {
    launch_box<bfloat16, false>(conv, operands);
  } else {
    launch_box<bfloat16, true>(conv, operands);
  }
  return conv.data<PlannedBoxes>().executed;
}

}  // namespace cks::kernels::ampere
