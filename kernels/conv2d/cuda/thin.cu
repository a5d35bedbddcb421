// ConvV2 and KS-deconv for few channels (first layers, LeNet, the output layers of generators):
// the rectangles of tiled.cu, but a thread owns whole positions, so that no part of
// a wide tile idles.
//
//   block       128 threads; each owns P positions of one pair and L channels of the target
//   shared      the pair's sub-filter for these channels, [tap][source channel][target
//               channel]; all threads read the same element at the same time, which costs one
//               access
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/region.cuh"
#include "cks/kernels/conv2d/cuda/tiles.h"
#include "cks/kernels/mma/epilogue.cuh"

namespace cks::kernels::cuda {
namespace {

/// For the launch bounds: with many sums, blocks of a multiprocessor that must find registers.
constexpr int blocks_of(int sums) { return sums < 64 ? 0 : 5; }

/// Stages the region's sub-filter for L target channels from channel0 on; zeros beyond the last.
template <int L>
__device__ __forceinline__ void stage_filter(const Region& region, int group, int channel0,
                                             float* filter_tile) {
  const Correlation& p = region.p;
  const Run& rows = region.rows;
  const Run& columns = region.columns;
  const float* filter = filter_of(region, group);
  const int k_size = rows.taps * columns.taps * p.source_channels;
  for (int i = static_cast<int>(threadIdx.x); i < k_size * L; i += kThinThreads) {
    const int target_channel = channel0 + i % L;
    const int k = i / L;
    const int channel = k % p.source_channels;
    const int tap = k / p.source_channels;
    const int row_tap = tap / columns.taps;
    const int column_tap = tap - row_tap * columns.taps;
    filter_tile[i] =
        target_channel < p.target_channels
            ? filter[static_cast<std::int64_t>(target_channel) * p.filter_target +
                     channel * p.filter_source + row_tap * rows.filter_step * p.filter_row +
                     column_tap * columns.filter_step * p.filter_column]
            : 0.0F;
  }
}

/// Adds the products of all taps and channels: of the sources at the thread's positions.
template <int P, int L>
__device__ __forceinline__ void add_taps(const Region& region, const float* const (&source)[P],
                                         const float* weight, float (&sum)[P][L]) {
  const Correlation& p = region.p;
  const Run& rows = region.rows;
  const Run& columns = region.columns;
  for (int row_tap = 0; row_tap < rows.taps; ++row_tap) {
    for (int column_tap = 0; column_tap < columns.taps; ++column_tap) {
      const std::int64_t shift =
          row_tap * rows.tap_step * p.source_row + column_tap * columns.tap_step * p.source_pixel;
      const float* from[P];
#pragma unroll
      for (int i = 0; i < P; ++i) {
        from[i] = source[i] + shift;
      }
#pragma unroll 4
      for (int channel = 0; channel < p.source_channels; ++channel) {
        float value[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
          value[i] = __ldg(from[i]++);
        }
#pragma unroll
        for (int j = 0; j < L; j += 4) {
          const Pack<float, 4> w = load_pack<4>(weight + j);
#pragma unroll
          for (int i = 0; i < P; ++i) {
#pragma unroll
            for (int v = 0; v < 4; ++v) {
              sum[i][j + v] = fmaf(value[i], w[v], sum[i][j + v]);
            }
          }
        }
        weight += L;
      }
    }
  }
}

template <int P, int L>
__global__ void __launch_bounds__(kThinThreads, blocks_of(P* L))
    thin_kernel(const __grid_constant__ Correlation p) {
  begin_kernel();
  extern __shared__ __align__(16) float filter_tile[];
  const int channel0 = static_cast<int>(blockIdx.x) % p.channel_tiles * L;
  const int tile = static_cast<int>(blockIdx.x) / p.channel_tiles;
  const int group = static_cast<int>(blockIdx.y);
  const Region region = region_of_tile(p, tile);
  stage_filter<L>(region, group, channel0, filter_tile);
  __syncthreads();

  const Positions positions(region, kThinThreads * P);
  const float* source[P];
  float* target[P];  // null beyond the last position
#pragma unroll
  for (int i = 0; i < P; ++i) {
    const std::int64_t position =
        positions.first + static_cast<int>(threadIdx.x) + i * kThinThreads;
    const PositionOffsets offsets = offsets_of(region, position, positions.count, group);
    source[i] = p.source + offsets.source;
    target[i] = position < positions.count ? p.target + offsets.target + channel0 : nullptr;
  }
  float sum[P][L] = {};
  add_taps(region, source, filter_tile, sum);

  const ChannelEpilogue<float> epilogue{p.epilogue, p.target, group * p.target_channels + channel0};
  const int existing = p.target_channels - channel0;
  epilogue.apply_to(
      sum, existing, [](int j) { return j; }, [&](int i) -> const float* { return target[i]; });
#pragma unroll
  for (int i = 0; i < P; ++i) {
    if (target[i] != nullptr) {
#pragma unroll
      for (int j = 0; j < L; ++j) {
        if (j < existing) {
          target[i][j] = sum[i][j];
        }
      }
    }
  }
}

}  // namespace

std::int64_t run_thin(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& planned = conv.data<PlannedCorrelation>();
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const Correlation p = with_operands(planned.correlation, operands, forward);
  const dim3 grid(static_cast<unsigned>(planned.tiles) * static_cast<unsigned>(p.channel_tiles),
                  static_cast<unsigned>(conv.problem.G));
  const std::size_t bytes = thin_shared_bytes(conv.problem, conv.plan.pass, conv.plan.tile);
  with_tile<kThin>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kThin[at()];
    launch(forward ? "convv2" : "ks_deconv", thin_kernel<tile.thread_rows, tile.thread_columns>,
           grid, kThinThreads, bytes, p);
  });
  return planned.executed;
}

}  // namespace cks::kernels::cuda
