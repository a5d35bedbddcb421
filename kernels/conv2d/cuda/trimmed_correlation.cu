// ConvV2 and KS-deconv on a GPU: one implicit GEMM over positions that meet the same taps.
//
// Rows and columns are cut into runs of positions with the same live taps (taps.h). A pair of runs
// is a rectangle of positions, in every image, that needs exactly the same sub-filter: its
// images * rows * columns positions are the rows of a dense GEMM whose K runs over live taps and
// channels. No zero of the padding, and none that a stride inserts, is ever loaded or multiplied,
// and the inner loop needs no bounds checks. Pairs with most taps start first, so that the last
// blocks to finish are short ones.
//
//   block       BM positions of one pair x BN lanes (output channels of the pass)
//   thread      TM x TN of them, as quads, so that shared memory is read 16 bytes at a time
//   shared      two stages of BK x BM source values and BK x BN filter values
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/register_tile.cuh"
#include "cks/kernels/conv2d/cuda/correlation_tiles.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

namespace cks::kernels::cuda {
namespace {

template <int BM_, int BN_, int TM_, int TN_>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_, BK = 16;
  static constexpr int kThreads = (BM / TM) * (BN / TN);
};

/// Elements of a K-major tile lie transposed, [k][row]; the XOR spreads the four k of one 16-byte
/// load over different banks and keeps quads of rows together.
__device__ __forceinline__ int swizzle(int k, int row) { return row ^ (((k >> 2) & 3) << 3); }

template <class T, bool kLaneContiguous, int VEC>
__global__ void __launch_bounds__(T::kThreads, 512 / T::kThreads)
    trimmed_correlation_kernel(const __grid_constant__ Correlation p) {
  begin_kernel();
  constexpr int BM = T::BM, BN = T::BN, BK = T::BK, TM = T::TM, TN = T::TN;
  constexpr int kThreads = T::kThreads;
  constexpr int kColumnsOfThreads = BN / TN;
  __shared__ __align__(16) float a_tile[2][BK][BM];  // source, swizzled
  __shared__ __align__(16) float b_tile[2][BK][BN];  // filter, swizzled unless kLaneContiguous
  __shared__ std::int64_t target_of_row[BM];
  __shared__ std::int64_t source_of_row[BM];
  __shared__ int my_pair;

  const int t = static_cast<int>(threadIdx.x);
  const int lane_tile = static_cast<int>(blockIdx.x) % p.lane_tiles;
  const int tile = static_cast<int>(blockIdx.x) / p.lane_tiles;
  const int group = static_cast<int>(blockIdx.y);
  for (int i = t; i < p.pairs; i += kThreads) {
    if (tile >= p.pair[i].first_tile && tile < p.pair[i + 1].first_tile) {
      my_pair = i;
    }
  }
  __syncthreads();
  const Run& rows = p.rows[p.pair[my_pair].row];
  const Run& columns = p.columns[p.pair[my_pair].column];
  const std::int64_t positions = static_cast<std::int64_t>(p.images) * rows.count * columns.count;
  const std::int64_t first = static_cast<std::int64_t>(tile - p.pair[my_pair].first_tile) * BM;
  for (int i = t; i < BM; i += kThreads) {
    // Rows beyond the end read the last position again and are not stored.
    const std::int64_t position = first + i < positions ? first + i : positions - 1;
    const std::int64_t per_image = rows.count * columns.count;
    const int n = static_cast<int>(position / per_image);
    const int rest = static_cast<int>(position - n * per_image);
    const int r = rest / columns.count;
    const int c = rest - r * columns.count;
    source_of_row[i] = n * p.source_image + (rows.source + r * rows.source_step) * p.source_row +
                       (columns.source + c * columns.source_step) * p.source_pixel +
                       static_cast<std::int64_t>(group) * p.channels;
    target_of_row[i] = n * p.target_image + (rows.target + r * rows.target_step) * p.target_row +
                       (columns.target + c * columns.target_step) * p.target_pixel +
                       static_cast<std::int64_t>(group) * p.lanes;
  }
  __syncthreads();

  // Where the taps of a row lie side by side in memory, they count as one tap of more channels.
  const int channels = p.merge_columns ? columns.taps * p.channels : p.channels;
  const int column_taps = p.merge_columns ? 1 : columns.taps;

  // What this thread loads of each stage.
  constexpr int kVecK = BK / VEC;
  constexpr int kALoads = BM * BK / VEC / kThreads;
  constexpr int kBLoads = BN * BK / VEC / kThreads;
  static_assert(kALoads * kThreads * VEC == BM * BK && kBLoads * kThreads * VEC == BN * BK,
                "a stage divides evenly among the threads");
  const float* a_pointer[kALoads];
  const float* b_pointer[kBLoads];
  const int a_k = (t % kVecK) * VEC;
  const int lane0 = lane_tile * BN;
  const float* filter = p.filter + group * p.filter_group + rows.filter_tap * p.filter_row +
                        columns.filter_tap * p.filter_column;
#pragma unroll
  for (int i = 0; i < kALoads; ++i) {
    const int row = t / kVecK + i * (kThreads / kVecK);
    a_pointer[i] = p.source + source_of_row[row] + a_k;
  }
#pragma unroll
  for (int i = 0; i < kBLoads; ++i) {
    if constexpr (kLaneContiguous) {
      const int lane = (t % (BN / VEC)) * VEC;
      const int k = t / (BN / VEC) + i * (kThreads / (BN / VEC));
      b_pointer[i] = filter + lane0 + lane + k * p.filter_channel;
    } else {
      const int lane = t / kVecK + i * (kThreads / kVecK);
      b_pointer[i] = filter + static_cast<std::int64_t>(lane0 + lane) * p.filter_lane + a_k;
    }
  }

  float a_stage[kALoads * VEC];
  float b_stage[kBLoads * VEC];
  int row_tap = 0, column_tap = 0, channel = 0;
  std::int64_t source_shift = 0, filter_shift = 0;

  const auto load = [&] {
#pragma unroll
    for (int i = 0; i < kALoads; ++i) {
      const bool inside = channel + a_k < channels;
      const float* from = a_pointer[i] + source_shift + channel;
      if constexpr (VEC == 4) {
        const float4 v =
            inside ? __ldg(reinterpret_cast<const float4*>(from)) : make_float4(0, 0, 0, 0);
        a_stage[4 * i] = v.x, a_stage[4 * i + 1] = v.y;
        a_stage[4 * i + 2] = v.z, a_stage[4 * i + 3] = v.w;
      } else {
        a_stage[i] = inside ? __ldg(from) : 0.0F;
      }
    }
#pragma unroll
    for (int i = 0; i < kBLoads; ++i) {
      bool inside = false;
      const float* from = b_pointer[i] + filter_shift;
      if constexpr (kLaneContiguous) {
        const int lane = (t % (BN / VEC)) * VEC;
        const int k = t / (BN / VEC) + i * (kThreads / (BN / VEC));
        inside = lane0 + lane < p.lanes && channel + k < channels;
        from += channel * p.filter_channel;
      } else {
        const int lane = t / kVecK + i * (kThreads / kVecK);
        inside = lane0 + lane < p.lanes && channel + a_k < channels;
        from += channel;
      }
      if constexpr (VEC == 4) {
        const float4 v =
            inside ? __ldg(reinterpret_cast<const float4*>(from)) : make_float4(0, 0, 0, 0);
        b_stage[4 * i] = v.x, b_stage[4 * i + 1] = v.y;
        b_stage[4 * i + 2] = v.z, b_stage[4 * i + 3] = v.w;
      } else {
        b_stage[i] = inside ? __ldg(from) : 0.0F;
      }
    }
    // Moves on to the next stage: channels fastest, then taps.
    channel += BK;
    if (channel >= channels) {
      channel = 0;
      source_shift += columns.tap_step * p.source_pixel;
      filter_shift += columns.filter_step * p.filter_column;
      if (++column_tap == column_taps) {
        column_tap = 0;
        ++row_tap;
        source_shift = static_cast<std::int64_t>(row_tap) * rows.tap_step * p.source_row;
        filter_shift = static_cast<std::int64_t>(row_tap) * rows.filter_step * p.filter_row;
      }
    }
  };
  const auto store = [&](int stage) {
#pragma unroll
    for (int i = 0; i < kALoads; ++i) {
      const int row = t / kVecK + i * (kThreads / kVecK);
#pragma unroll
      for (int v = 0; v < VEC; ++v) {
        a_tile[stage][a_k + v][swizzle(a_k + v, row)] = a_stage[VEC * i + v];
      }
    }
#pragma unroll
    for (int i = 0; i < kBLoads; ++i) {
      if constexpr (kLaneContiguous) {
        const int lane = (t % (BN / VEC)) * VEC;
        const int k = t / (BN / VEC) + i * (kThreads / (BN / VEC));
#pragma unroll
        for (int v = 0; v < VEC; ++v) {
          b_tile[stage][k][lane + v] = b_stage[VEC * i + v];
        }
      } else {
        const int lane = t / kVecK + i * (kThreads / kVecK);
#pragma unroll
        for (int v = 0; v < VEC; ++v) {
          b_tile[stage][a_k + v][swizzle(a_k + v, lane)] = b_stage[VEC * i + v];
        }
      }
    }
  };

  const int tx = t % kColumnsOfThreads;
  const int ty = t / kColumnsOfThreads;
  float sum[TM][TN] = {};
  const int stages = rows.taps * column_taps * ceil_div(channels, BK);
  if (stages > 0) {
    load();
    store(0);
    __syncthreads();
  }
  for (int s = 0; s < stages; ++s) {
    const int now = s & 1;
    const bool more = s + 1 < stages;
    if (more) {
      load();
    }
#pragma unroll
    for (int k = 0; k < BK; ++k) {
      float a[TM], b[TN];
      load_quads<BM>(
          a_tile[now][k], ty, [&](int row) { return swizzle(k, row); }, a);
      load_quads<BN>(
          b_tile[now][k], tx, [&](int lane) { return kLaneContiguous ? lane : swizzle(k, lane); },
          b);
      add_outer_product(a, b, sum);
    }
    if (more) {
      store(now ^ 1);
      __syncthreads();
    }
  }

#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const int row = quad_row<BM, TM>(i / 4, ty) + i % 4;
    if (first + row >= positions) {
      continue;
    }
    float* to = p.target + target_of_row[row];
#pragma unroll
    for (int q = 0; q < TN / 4; ++q) {
      const int lane = lane0 + quad_row<BN, TN>(q, tx);
      float value[4];
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        const bool biased = p.bias != nullptr && lane + v < p.lanes;
        value[v] = sum[i][4 * q + v] + (biased ? p.bias[group * p.lanes + lane + v] : 0.0F);
      }
      if constexpr (VEC == 4) {
        if (lane < p.lanes) {
          *reinterpret_cast<float4*>(to + lane) =
              make_float4(value[0], value[1], value[2], value[3]);
        }
      } else {
#pragma unroll
        for (int v = 0; v < 4; ++v) {
          if (lane + v < p.lanes) {
            to[lane + v] = value[v];
          }
        }
      }
    }
  }
}

template <class T, bool kLaneContiguous>
void launch_tile(const char* operation, const Correlation& p, int tiles, int groups, bool vectors) {
  const dim3 grid(static_cast<unsigned>(tiles * p.lane_tiles), static_cast<unsigned>(groups));
  if (vectors) {
    launch(operation, trimmed_correlation_kernel<T, kLaneContiguous, 4>, grid, T::kThreads, 0, p);
  } else {
    launch(operation, trimmed_correlation_kernel<T, kLaneContiguous, 1>, grid, T::kThreads, 0, p);
  }
}

}  // namespace

std::int64_t run_tiled(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const auto& planned = conv.data<PlannedCorrelation>();
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  const Correlation p = with_operands(planned.correlation, operands, forward);
  const bool vectors = takes_vectors(conv.problem, p);
  const char* operation = forward ? "convv2" : "ks_deconv";
  const int groups = static_cast<int>(conv.problem.G);
  with_tile<kTiled>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kTiled[at()];
    using T = Tile<tile.rows, tile.columns, tile.thread_rows, tile.thread_columns>;
    if (forward) {
      launch_tile<T, false>(operation, p, planned.tiles, groups, vectors);
    } else {
      launch_tile<T, true>(operation, p, planned.tiles, groups, vectors);
    }
  });
  return planned.executed;
}

}  // namespace cks::kernels::cuda
