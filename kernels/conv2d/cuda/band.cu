// ConvV2 and, with the filter turned, KS-deconv for few channels and stride 1.
//
//   block       a band of target rows of one image
//   thread      P neighbouring positions x L channels of the target: for each filter row and
//               channel it reads P + FW - 1 source values once and slides along them
//   shares      of the channels, where images are few and small; added in order at the end
//   shared      the source's planes (band.cuh), the filter as
//               [row][source channel][column][target channel]
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/band.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/mma/epilogue.cuh"

namespace cks::kernels::cuda {
namespace {

using Divide = Divider<std::uint32_t>;

struct BandTask {
  BandSource source;
  BandShape shape;
  const float* filter;
  TypedEpilogue<float> epilogue;
  float* target;
  std::int64_t target_image, target_row, target_pixel;
  Divide by_filter_block, by_filter_row, by_inner;  // W[OC,FH,FW,IC]: FH*FW*IC, FW*IC, IC
  int filter_size, filter_pitch;
  bool forward;
  int vector;  // floats of a store: 4, 2 or 1
};

/// Blocks of a multiprocessor whose threads have registers for so many sums, and the rest.
constexpr int blocks_of(int sums) {
  const int wanted = sums <= 12 ? 3 : sums <= 24 ? 2 : 1;
  const int most = kResidentThreads / (2 * kBandThreads);
  return wanted < most ? wanted : most;
}

/// Stages the filter as [row][source channel][column][target channel]; backward_data reads it
/// turned by half.
template <int FW>
__device__ __forceinline__ void stage_filter(const BandTask& p, float* filter) {
  const int channels = p.shape.source.channels;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < p.filter_size;
       i += static_cast<int>(blockDim.x)) {
    const int oc = static_cast<int>(p.by_filter_block.divide(static_cast<std::uint32_t>(i)));
    int rest = i - oc * static_cast<int>(p.by_filter_block.divisor);
    int fh = static_cast<int>(p.by_filter_row.divide(static_cast<std::uint32_t>(rest)));
    rest -= fh * static_cast<int>(p.by_filter_row.divisor);
    int fw = static_cast<int>(p.by_inner.divide(static_cast<std::uint32_t>(rest)));
    const int ic = rest - fw * static_cast<int>(p.by_inner.divisor);
    if (!p.forward) {
      fh = p.shape.filter_h - 1 - fh;
      fw = FW - 1 - fw;
    }
    const int target_channel = p.forward ? oc : ic;
    const int channel = p.forward ? ic : oc;
    filter[((fh * channels + channel) * FW + fw) * p.filter_pitch + target_channel] =
        __ldg(p.filter + i);
  }
}

/// What a thread owns of its block's band: P positions from `column` on, L channels, and a share of
/// the source's channels.
struct Owner {
  int index, share, row, column, group;  // group: of L channels

  template <int P>
  static __device__ __forceinline__ Owner of_thread(const BandShape& s, int owners) {
    const int t = static_cast<int>(threadIdx.x);
    const int share = t / owners;
    const int index = t - share * owners;
    const int above = index / s.column_groups;
    const int group = above / s.band_rows;
    return {index, share, above - group * s.band_rows, (index - above * s.column_groups) * P,
            group};
  }
};

/// P + FW - 1 neighbouring source values.
template <int P, int FW>
__device__ __forceinline__ void load_neighbours(const float* from, float (&x)[P + FW - 1]) {
  if constexpr (P == 4) {
    load_floats<4>(from, x);
    load_floats<FW - 1>(from + 4, x + 4);
  } else {
#pragma unroll
    for (int i = 0; i < P + FW - 1; i += 2) {
      load_floats<2>(from + i, x + i);
    }
  }
}

/// Adds the products of the filter rows that fall inside the image and the share's channels.
template <int P, int L, int FW>
__device__ __forceinline__ void add_band(const BandTask& p, const Owner& owner, int target_row,
                                         const float* filter, const float* planes,
                                         float (&sum)[P][L]) {
  const BandShape& s = p.shape;
  const int channels = s.source.channels;
  const int above_image = s.source.pad_h - target_row;
  const int f_begin = max(0, above_image);
  const int f_end = min(s.filter_h, s.source.image_h + above_image);
  const int c_begin = channels * owner.share / s.shares;
  const int c_end = channels * (owner.share + 1) / s.shares;
  const float* source = planes + owner.row * s.source.pitch + owner.column;
  const float* weights = filter + owner.group * L;
  constexpr int kUnroll = P * L * FW < 50 ? 2 : 1;
  for (int f = f_begin; f < f_end; ++f) {
#pragma unroll kUnroll
    for (int c = c_begin; c < c_end; ++c) {
      float x[P + FW - 1];
      load_neighbours<P, FW>(source + c * s.source.plane + f * s.source.pitch, x);
      const float* weight = weights + (f * channels + c) * FW * p.filter_pitch;
#pragma unroll
      for (int fw = 0; fw < FW; ++fw) {
        float w[L];
        load_floats<L>(weight + fw * p.filter_pitch, w);
#pragma unroll
        for (int i = 0; i < P; ++i) {
#pragma unroll
          for (int j = 0; j < L; ++j) {
            sum[i][j] = fmaf(x[i + fw], w[j], sum[i][j]);
          }
        }
      }
    }
  }
}

/// Adds the other shares' sums, in order, to those of share 0; they take the place of planes and
/// filter. For all threads of the block.
template <int P, int L>
__device__ __forceinline__ void add_shares(const Owner& owner, bool works, int owners, int shares,
                                           float* parts, float (&sum)[P][L]) {
  __syncthreads();
  if (works && owner.share > 0) {
#pragma unroll
    for (int i = 0; i < P * L; ++i) {
      parts[((owner.share - 1) * P * L + i) * owners + owner.index] = sum[i / L][i % L];
    }
  }
  __syncthreads();
  if (!works || owner.share > 0) {
    return;
  }
  for (int other = 0; other < shares - 1; ++other) {
#pragma unroll
    for (int i = 0; i < P * L; ++i) {
      sum[i / L][i % L] += parts[(other * P * L + i) * owners + owner.index];
    }
  }
}

/// Stores the L channels of a position, V at once; `existing` of them exist.
template <int V, int L>
__device__ __forceinline__ void store_channels(int existing, const float (&values)[L], float* to) {
#pragma unroll
  for (int j = 0; j + V <= L; j += V) {
    if (j < existing) {
      Pack<float, V> pack;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        pack[v] = values[j + v];
      }
      store_pack<V>(to + j, pack);
    }
  }
}

template <int P, int L, int FW>
__global__ void __launch_bounds__(2 * kBandThreads, blocks_of(P* L))
    band_kernel(const __grid_constant__ BandTask p) {
  begin_kernel();
  extern __shared__ __align__(16) float shared[];
  const BandShape& s = p.shape;
  float* planes = shared + s.filter_floats;
  const int n = static_cast<int>(blockIdx.x) / s.bands;
  const int first = (static_cast<int>(blockIdx.x) - n * s.bands) * s.band_rows;
  stage_filter<FW>(p, shared);
  stage_planes(p.source, s.source, n, first - s.source.pad_h, planes);
  __syncthreads();

  const int owners = s.column_groups * s.channel_groups * s.band_rows;
  const Owner owner = Owner::of_thread<P>(s, owners);
  const int target_row = first + owner.row;
  const bool works = owner.share < s.shares && target_row < s.target_h;
  float sum[P][L] = {};
  if (works) {
    add_band<P, L, FW>(p, owner, target_row, shared, planes, sum);
  }
  if (s.shares > 1) {
    add_shares(owner, works, owners, s.shares, shared, sum);
  }
  if (!works || owner.share > 0) {
    return;
  }

  const int channel0 = owner.group * L;
  const int existing = s.target_channels - channel0;
  const ChannelEpilogue<float> epilogue{p.epilogue, p.target, channel0};
  float* to = p.target + n * p.target_image + target_row * p.target_row +
              owner.column * p.target_pixel + channel0;
  epilogue.apply_to(
      sum, existing, [](int j) { return j; },
      [&](int i) -> const float* {
        return owner.column + i < s.target_w ? to + i * p.target_pixel : nullptr;
      });
#pragma unroll
  for (int i = 0; i < P; ++i, to += p.target_pixel) {
    if (owner.column + i >= s.target_w) {
      continue;
    }
    if (p.vector == 4 && L % 4 == 0) {
      store_channels<4>(existing, sum[i], to);
    } else if (p.vector >= 2) {
      store_channels<2>(existing, sum[i], to);
    } else {
      store_channels<1>(existing, sum[i], to);
    }
  }
}

}  // namespace

std::int64_t run_band(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& problem = conv.problem;
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  BandTask p{};
  p.shape = conv.data<BandShape>();
  const BandShape& s = p.shape;
  p.source = band_source(static_cast<const float*>(forward ? operands.x : operands.y), s.source,
                         forward ? problem.x_pitch : problem.y_pitch);
  p.filter = static_cast<const float*>(operands.w);
  p.epilogue = TypedEpilogue<float>(operands.epilogue);
  p.target = static_cast<float*>(operands.result);
  p.target_pixel = forward ? problem.y_pitch : problem.x_pitch;
  p.target_row = p.target_pixel * s.target_w;
  p.target_image = p.target_row * s.target_h;
  p.by_inner = Divide(problem.IC);
  p.by_filter_row = Divide(problem.FW * problem.IC);
  p.by_filter_block = Divide(problem.FH * problem.FW * problem.IC);
  p.filter_size = static_cast<int>(problem.OC * problem.FH * problem.FW * problem.IC);
  p.filter_pitch = ceil_div(s.channel_groups * s.channels_each, 4) * 4;
  p.forward = forward;
  const auto allows = [&](int floats) {
    return s.target_channels % floats == 0 && p.target_pixel % floats == 0 &&
           reinterpret_cast<std::uintptr_t>(p.target) % (sizeof(float) * floats) == 0;
  };
  p.vector = allows(4) ? 4 : (allows(2) ? 2 : 1);
  with_tile<kBand>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kBand[at()];
    launch(forward ? "convv2" : "ks_deconv",
           s.filter_w == 3 ? band_kernel<tile.thread_rows, tile.thread_columns, 3>
                           : band_kernel<tile.thread_rows, tile.thread_columns, 5>,
           dim3(static_cast<unsigned>(problem.N * s.bands)), static_cast<unsigned>(s.threads),
           s.shared_bytes, p);
  });
  return band_multiply_adds(problem, conv.plan.pass);
}

}  // namespace cks::kernels::cuda
