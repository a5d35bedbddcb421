// ConvV2 and KS-deconv for few channels (first layers, LeNet, the output layers of generators):
// the rectangles of trimmed_correlation.cu, but a thread owns whole positions, so that no lane of
// a wide tile idles.
//
//   block       128 threads; each owns P positions of one pair and L lanes (output channels)
//   shared      the pair's sub-filter for these lanes, [tap][channel][lane]; all threads read the
//               same element at the same time, which costs one access
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/correlation_tiles.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

namespace cks::kernels::cuda {
namespace {

template <int P, int L>
__global__ void __launch_bounds__(kNarrowThreads)
    narrow_correlation_kernel(const __grid_constant__ Correlation p) {
  begin_kernel();
  extern __shared__ __align__(16) float filter_tile[];
  __shared__ int my_pair;
  const int t = static_cast<int>(threadIdx.x);
  const int lane0 = static_cast<int>(blockIdx.x) % p.lane_tiles * L;
  const int tile = static_cast<int>(blockIdx.x) / p.lane_tiles;
  const int group = static_cast<int>(blockIdx.y);
  for (int i = t; i < p.pairs; i += kNarrowThreads) {
    if (tile >= p.pair[i].first_tile && tile < p.pair[i + 1].first_tile) {
      my_pair = i;
    }
  }
  __syncthreads();
  const Run& rows = p.rows[p.pair[my_pair].row];
  const Run& columns = p.columns[p.pair[my_pair].column];

  const float* filter = p.filter + group * p.filter_group + rows.filter_tap * p.filter_row +
                        columns.filter_tap * p.filter_column;
  const int k_size = rows.taps * columns.taps * p.channels;
  for (int i = t; i < k_size * L; i += kNarrowThreads) {
    const int lane = i % L;
    const int k = i / L;
    const int channel = k % p.channels;
    const int tap = k / p.channels;
    const int row_tap = tap / columns.taps;
    const int column_tap = tap - row_tap * columns.taps;
    filter_tile[i] =
        lane0 + lane < p.lanes
            ? filter[static_cast<std::int64_t>(lane0 + lane) * p.filter_lane +
                     channel * p.filter_channel + row_tap * rows.filter_step * p.filter_row +
                     column_tap * columns.filter_step * p.filter_column]
            : 0.0F;
  }
  __syncthreads();

  const int per_image = rows.count * columns.count;
  const std::int64_t positions = static_cast<std::int64_t>(p.images) * per_image;
  const std::int64_t first =
      static_cast<std::int64_t>(tile - p.pair[my_pair].first_tile) * (kNarrowThreads * P) + t;
  const float* source[P];
  float* target[P];
#pragma unroll
  for (int i = 0; i < P; ++i) {
    // A position beyond the end computes the last one again and stores nothing.
    const std::int64_t wanted = first + i * kNarrowThreads;
    const std::int64_t position = wanted < positions ? wanted : positions - 1;
    const int n = static_cast<int>(position / per_image);
    const int rest = static_cast<int>(position - static_cast<std::int64_t>(n) * per_image);
    const int r = rest / columns.count;
    const int c = rest - r * columns.count;
    source[i] = p.source + n * p.source_image +
                (rows.source + r * rows.source_step) * p.source_row +
                (columns.source + c * columns.source_step) * p.source_pixel +
                static_cast<std::int64_t>(group) * p.channels;
    target[i] = p.target + n * p.target_image +
                (rows.target + r * rows.target_step) * p.target_row +
                (columns.target + c * columns.target_step) * p.target_pixel +
                static_cast<std::int64_t>(group) * p.lanes + lane0;
  }

  float sum[P][L] = {};
  const float* weight = filter_tile;
  for (int row_tap = 0; row_tap < rows.taps; ++row_tap) {
    for (int column_tap = 0; column_tap < columns.taps; ++column_tap) {
      const std::int64_t shift =
          row_tap * rows.tap_step * p.source_row + column_tap * columns.tap_step * p.source_pixel;
#pragma unroll 4
      for (int channel = 0; channel < p.channels; ++channel) {
        float value[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
          value[i] = __ldg(source[i] + shift + channel);
        }
#pragma unroll
        for (int lane = 0; lane < L; lane += 4) {
          const float4 w = *reinterpret_cast<const float4*>(weight + lane);
#pragma unroll
          for (int i = 0; i < P; ++i) {
            sum[i][lane] = fmaf(value[i], w.x, sum[i][lane]);
            sum[i][lane + 1] = fmaf(value[i], w.y, sum[i][lane + 1]);
            sum[i][lane + 2] = fmaf(value[i], w.z, sum[i][lane + 2]);
            sum[i][lane + 3] = fmaf(value[i], w.w, sum[i][lane + 3]);
          }
        }
        weight += L;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < P; ++i) {
    if (first + i * kNarrowThreads >= positions) {
      continue;
    }
#pragma unroll
    for (int lane = 0; lane < L; ++lane) {
      if (lane0 + lane < p.lanes) {
        target[i][lane] =
            sum[i][lane] + (p.bias != nullptr ? p.bias[group * p.lanes + lane0 + lane] : 0.0F);
      }
    }
  }
}

}  // namespace

std::int64_t run_narrow(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& planned = conv.data<PlannedCorrelation>();
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const Correlation p = with_operands(planned.correlation, operands, forward);
  const dim3 grid(static_cast<unsigned>(planned.tiles) * static_cast<unsigned>(p.lane_tiles),
                  static_cast<unsigned>(conv.problem.G));
  const std::size_t bytes = narrow_shared_bytes(conv.problem, conv.plan.pass, conv.plan.tile);
  with_tile<kNarrow>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kNarrow[at()];
    launch(forward ? "convv2" : "ks_deconv",
           narrow_correlation_kernel<tile.thread_rows, tile.thread_columns>, grid, kNarrowThreads,
           bytes, p);
  });
  return planned.executed;
}

}  // namespace cks::kernels::cuda
