// Sk-dilated for few channels and stride 1.
//
//   block       a slice of the bands of all images; its threads together keep the whole filter
//               gradient in registers while band after band passes
//   thread      the taps of one filter row of one input channel x L output channels, over the rows
//               of a band that its share has: it slides along a row of X and reads each pixel of dY
//               once for all taps
//   shares      of the rows of a band; added in order at the end
//   slices      partial gradients of the blocks, added in order by a second kernel
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/band.cuh"
#include "cks/kernels/conv2d/cuda/kernels.h"

namespace cks::kernels::cuda {
namespace {

using Divide = Divider<std::uint32_t>;

struct GradientTask {
  BandSource x;
  BandTapsShape shape;
  const float* dy;
  float* out;  // dW, or [slices][dW]
  std::int64_t y_image, y_row, y_pixel;
  int y_pack;  // channels that one thread stages at a time
  Divide by_y_packs, by_y_columns;
  int filter_size;
  int tiles, slices;  // bands of all images; blocks that share them
};

__device__ __forceinline__ void stage_gradient(const GradientTask& p, int n, int first, int rows,
                                               float* tile) {
  const BandTapsShape& s = p.shape;
  const int t = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const float* dy = p.dy + n * p.y_image + first * p.y_row;
  const int packs = s.out_channels / p.y_pack;
#pragma unroll 4
  for (int i = t; i < rows * s.out_w * packs; i += threads) {
    const int pixel = static_cast<int>(p.by_y_packs.divide(static_cast<std::uint32_t>(i)));
    const int channel = (i - pixel * packs) * p.y_pack;
    const int row = static_cast<int>(p.by_y_columns.divide(static_cast<std::uint32_t>(pixel)));
    const int column = pixel - row * s.out_w;
    const float* from = dy + pixel * p.y_pixel + channel;
    float* to = tile + (row * s.y_columns + column) * s.y_pitch + channel;
    if (p.y_pack == 4) {
      store_pack<4>(to, load_constant_pack<4>(from, true));
    } else {
      *to = __ldg(from);
    }
  }
  const int beyond = (s.y_columns - s.out_w) * s.y_pitch;
  for (int i = t; i < rows * beyond; i += threads) {
    const int row = i / beyond;
    tile[(row * s.y_columns + s.out_w) * s.y_pitch + i - row * beyond] = 0.0F;
  }
}

template <int L, int FW>
__global__ void __launch_bounds__(2 * kBandThreads)
    band_taps_kernel(const __grid_constant__ GradientTask p) {
  begin_kernel();
  extern __shared__ __align__(16) float shared[];
  const BandTapsShape& s = p.shape;
  float* y_tile = shared;
  float* planes = shared + s.band_rows * s.y_columns * s.y_pitch;
  const int t = static_cast<int>(threadIdx.x);
  const int owners = s.filter_h * s.source.channels * s.channel_groups;
  const int share = t / owners;
  const int owner = t - share * owners;
  const int above = owner / s.filter_h;
  const int fh = owner - above * s.filter_h;
  const int group = above / s.source.channels;
  const int channel = above - group * s.source.channels;
  const bool works = share < s.shares;

  float sum[FW][L] = {};
  const int begin = static_cast<int>(static_cast<std::int64_t>(p.tiles) * blockIdx.x / p.slices);
  const int end =
      static_cast<int>(static_cast<std::int64_t>(p.tiles) * (blockIdx.x + 1) / p.slices);
  for (int tile = begin; tile < end; ++tile) {
    const int n = tile / s.bands;
    const int first = (tile - n * s.bands) * s.band_rows;
    const int rows = min(s.band_rows, s.out_h - first);
    stage_gradient(p, n, first, rows, y_tile);
    stage_planes(p.x, s.source, n, first - s.source.pad_h, planes);
    __syncthreads();
    for (int row = works ? share : rows; row < rows; row += s.shares) {
      const int image_row = first + row - s.source.pad_h + fh;
      if (image_row < 0 || image_row >= s.source.image_h) {
        continue;
      }
      const float* x = planes + channel * s.source.plane + (row + fh) * s.source.pitch;
      const float* dy = y_tile + row * s.y_columns * s.y_pitch + group * L;
      float slide[8];
      load_floats<4>(x, slide);
      const int columns = s.y_columns;
#pragma unroll 2
      for (int column = 0; column < columns; column += 4) {
        load_floats<4>(x + column + 4, slide + 4);
#pragma unroll
        for (int i = 0; i < 4; ++i, dy += s.y_pitch) {
          float gradient[L];
          load_floats<L>(dy, gradient);
#pragma unroll
          for (int fw = 0; fw < FW; ++fw) {
#pragma unroll
            for (int j = 0; j < L; ++j) {
              sum[fw][j] = fmaf(slide[i + fw], gradient[j], sum[fw][j]);
            }
          }
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          slide[i] = slide[i + 4];
        }
      }
    }
    __syncthreads();
  }

  // dW[OC,FH,FW,IC]; [share][OC][FH,FW,IC] in shared memory, then added in order.
  const int filter_row = s.filter_h * FW * s.source.channels;
  float* out = p.out + static_cast<std::int64_t>(blockIdx.x) * p.filter_size;
  const int first_element = fh * FW * s.source.channels + channel;
  float* parts = s.shares > 1 ? shared + share * s.y_pitch * filter_row : out;
  if (works) {
#pragma unroll
    for (int j = 0; j < L; ++j) {
      const int oc = group * L + j;
      if (oc < s.out_channels) {
#pragma unroll
        for (int fw = 0; fw < FW; ++fw) {
          parts[oc * filter_row + first_element + fw * s.source.channels] = sum[fw][j];
        }
      }
    }
  }
  if (s.shares > 1) {
    __syncthreads();
    for (int i = t; i < p.filter_size; i += static_cast<int>(blockDim.x)) {
      float total = shared[i];
      for (int other = 1; other < s.shares; ++other) {
        total += shared[other * s.y_pitch * filter_row + i];
      }
      out[i] = total;
    }
  }
}

}  // namespace

std::int64_t run_band_taps(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  const Conv2dProblem& q = conv.problem;
  GradientTask p{};
  p.shape = conv.data<BandTapsShape>();
  const BandTapsShape& s = p.shape;
  p.x = band_source(static_cast<const float*>(operands.x), s.source, q.x_pitch);
  p.dy = static_cast<const float*>(operands.y);
  p.out = static_cast<float*>(gradient_slices(conv, operands));
  p.y_pixel = q.y_pitch;
  p.y_row = q.y_pitch * q.OW;
  p.y_image = p.y_row * q.OH;
  p.y_pack = packs_of(p.dy, q.OC, q.y_pitch);
  p.by_y_packs = Divide(q.OC / p.y_pack);
  p.by_y_columns = Divide(q.OW);
  p.filter_size = static_cast<int>(q.OC * q.FH * q.FW * q.IC);
  p.tiles = static_cast<int>(q.N * s.bands);
  p.slices = static_cast<int>(conv.plan.split_k);
  with_tile<kBandTaps>(conv.plan.tile, [&](auto at) {
    constexpr RatedTile tile = kBandTaps[at()];
    launch("sk_dilated", band_taps_kernel<tile.thread_columns, tile.thread_rows>,
           dim3(static_cast<unsigned>(p.slices)), static_cast<unsigned>(s.threads), s.shared_bytes,
           p);
  });
  add_gradient_slices(conv, operands);
  return band_multiply_adds(q, conv.plan.pass);
}

}  // namespace cks::kernels::cuda
