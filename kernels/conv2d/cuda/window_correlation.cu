// ConvV2 and, with the filter turned, KS-deconv for few channels and stride 1.
//
//   block       a band of target rows of one image
//   thread      P neighbouring positions x L lanes (output channels of the pass): for each filter
//               row and channel it reads P + FW - 1 source values once and slides along them
//   shares      of the channels, where images are few and small; added in order at the end
//   shared      the source's planes (window.cuh), the filter as [row][channel][column][lane]
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/window.cuh"

namespace cks::kernels::cuda {
namespace {

using Divide = Divider<std::uint32_t>;

struct WindowTask {
  WindowSource source;
  WindowCorrelation shape;
  const float* filter;
  const float* bias;
  float* target;
  std::int64_t target_image, target_row, target_pixel;
  Divide by_filter_block, by_filter_row, by_inner;  // W[OC,FH,FW,IC]: FH*FW*IC, FW*IC, IC
  int filter_size, filter_lanes;
  bool forward;
  int vector;  // floats of a store: 4, 2 or 1
};

template <int P, int L, int FW>
__global__ void __launch_bounds__(2 * kWindowThreads)
    window_correlation_kernel(const __grid_constant__ WindowTask p) {
  begin_kernel();
  extern __shared__ __align__(16) float shared[];
  const WindowCorrelation& s = p.shape;
  float* filter = shared;
  float* planes = shared + s.filter_floats;
  const int t = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int n = static_cast<int>(blockIdx.x) / s.bands;
  const int first = (static_cast<int>(blockIdx.x) - n * s.bands) * s.band_rows;
  const int channels = s.source.channels;

#pragma unroll 4
  for (int i = t; i < p.filter_size; i += threads) {
    const int oc = static_cast<int>(p.by_filter_block.divide(static_cast<std::uint32_t>(i)));
    int rest = i - oc * static_cast<int>(p.by_filter_block.divisor);
    int fh = static_cast<int>(p.by_filter_row.divide(static_cast<std::uint32_t>(rest)));
    rest -= fh * static_cast<int>(p.by_filter_row.divisor);
    int fw = static_cast<int>(p.by_inner.divide(static_cast<std::uint32_t>(rest)));
    const int ic = rest - fw * static_cast<int>(p.by_inner.divisor);
    if (!p.forward) {
      fh = s.filter_h - 1 - fh;
      fw = FW - 1 - fw;
    }
    const int lane = p.forward ? oc : ic;
    const int channel = p.forward ? ic : oc;
    filter[((fh * channels + channel) * FW + fw) * p.filter_lanes + lane] = __ldg(p.filter + i);
  }
  stage_planes(p.source, s.source, n, first - s.source.pad_h, planes);
  __syncthreads();

  const int owners = s.column_groups * s.lane_groups * s.band_rows;
  const int share = t / owners;
  const int owner = t - share * owners;
  const int above = owner / s.column_groups;
  const int column = (owner - above * s.column_groups) * P;
  const int lane_group = above / s.band_rows;
  const int row = above - lane_group * s.band_rows;
  const int target_row = first + row;
  const bool works = share < s.shares && target_row < s.target_h;

  float sum[P][L] = {};
  if (works) {
    // The filter rows that fall inside the image.
    const int above_image = s.source.pad_h - target_row;
    const int f_begin = max(0, above_image);
    const int f_end = min(s.filter_h, s.source.image_h + above_image);
    const int c_begin = channels * share / s.shares;
    const int c_end = channels * (share + 1) / s.shares;
    const float* source = planes + row * s.source.pitch + column;
    const float* weights = filter + lane_group * L;
    for (int f = f_begin; f < f_end; ++f) {
      for (int c = c_begin; c < c_end; ++c) {
        float x[P + FW - 1];
        const float* from = source + c * s.source.plane + f * s.source.pitch;
        if constexpr (P == 4) {
          load_floats<4>(from, x);
          load_floats<FW - 1>(from + 4, x + 4);
        } else {
#pragma unroll
          for (int i = 0; i < P + FW - 1; i += 2) {
            load_floats<2>(from + i, x + i);
          }
        }
        const float* weight = weights + (f * channels + c) * FW * p.filter_lanes;
#pragma unroll
        for (int fw = 0; fw < FW; ++fw) {
          float w[L];
          load_floats<L>(weight + fw * p.filter_lanes, w);
#pragma unroll
          for (int i = 0; i < P; ++i) {
#pragma unroll
            for (int lane = 0; lane < L; ++lane) {
              sum[i][lane] = fmaf(x[i + fw], w[lane], sum[i][lane]);
            }
          }
        }
      }
    }
  }
  if (s.shares > 1) {
    __syncthreads();  // the parts take the place of planes and filter
    if (works && share > 0) {
#pragma unroll
      for (int i = 0; i < P * L; ++i) {
        shared[((share - 1) * P * L + i) * owners + owner] = sum[i / L][i % L];
      }
    }
    __syncthreads();
    if (!works || share > 0) {
      return;
    }
    for (int other = 0; other < s.shares - 1; ++other) {
#pragma unroll
      for (int i = 0; i < P * L; ++i) {
        sum[i / L][i % L] += shared[(other * P * L + i) * owners + owner];
      }
    }
  }
  if (!works) {
    return;
  }

  const int lane0 = lane_group * L;
  float bias[L];
#pragma unroll
  for (int lane = 0; lane < L; ++lane) {
    bias[lane] = p.bias != nullptr && lane0 + lane < s.lanes ? __ldg(p.bias + lane0 + lane) : 0.0F;
  }
  float* to =
      p.target + n * p.target_image + target_row * p.target_row + column * p.target_pixel + lane0;
#pragma unroll
  for (int i = 0; i < P; ++i, to += p.target_pixel) {
    if (column + i >= s.target_w) {
      continue;
    }
    if (p.vector == 4 && L % 4 == 0) {
#pragma unroll
      for (int lane = 0; lane + 3 < L; lane += 4) {
        if (lane0 + lane < s.lanes) {
          *reinterpret_cast<float4*>(to + lane) =
              make_float4(sum[i][lane] + bias[lane], sum[i][lane + 1] + bias[lane + 1],
                          sum[i][lane + 2] + bias[lane + 2], sum[i][lane + 3] + bias[lane + 3]);
        }
      }
    } else if (p.vector >= 2) {
#pragma unroll
      for (int lane = 0; lane < L; lane += 2) {
        if (lane0 + lane < s.lanes) {
          *reinterpret_cast<float2*>(to + lane) =
              make_float2(sum[i][lane] + bias[lane], sum[i][lane + 1] + bias[lane + 1]);
        }
      }
    } else {
#pragma unroll
      for (int lane = 0; lane < L; ++lane) {
        if (lane0 + lane < s.lanes) {
          to[lane] = sum[i][lane] + bias[lane];
        }
      }
    }
  }
}

}  // namespace

std::int64_t run_window(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& problem = conv.problem;
  const bool forward = conv.plan.pass == Conv2dPass::forward;
  WindowTask p{};
  p.shape = conv.data<WindowCorrelation>();
  const WindowCorrelation& s = p.shape;
  p.source = window_source(static_cast<const float*>(forward ? operands.x : operands.y), s.source,
                           forward ? problem.x_pitch : problem.y_pitch);
  p.filter = static_cast<const float*>(operands.w);
  p.bias = static_cast<const float*>(operands.epilogue.bias);
  p.target = static_cast<float*>(operands.result);
  p.target_pixel = forward ? problem.y_pitch : problem.x_pitch;
  p.target_row = p.target_pixel * s.target_w;
  p.target_image = p.target_row * s.target_h;
  p.by_inner = Divide(problem.IC);
  p.by_filter_row = Divide(problem.FW * problem.IC);
  p.by_filter_block = Divide(problem.FH * problem.FW * problem.IC);
  p.filter_size = static_cast<int>(problem.OC * problem.FH * problem.FW * problem.IC);
  p.filter_lanes = ceil_div(s.lane_groups * s.lanes_each, 4) * 4;
  p.forward = forward;
  const auto allows = [&](int floats) {
    return s.lanes % floats == 0 && p.target_pixel % floats == 0 &&
           reinterpret_cast<std::uintptr_t>(p.target) % (sizeof(float) * floats) == 0;
  };
  p.vector = allows(4) ? 4 : (allows(2) ? 2 : 1);
  with_tile<kWindow>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kWindow[at()];
    launch(forward ? "convv2" : "ks_deconv",
           s.filter_w == 3 ? window_correlation_kernel<tile.thread_rows, tile.thread_columns, 3>
                           : window_correlation_kernel<tile.thread_rows, tile.thread_columns, 5>,
           dim3(static_cast<unsigned>(problem.N * s.bands)), static_cast<unsigned>(s.threads),
           s.shared_bytes, p);
  });
  return window_multiply_adds(problem, conv.plan.pass);
}

}  // namespace cks::kernels::cuda
