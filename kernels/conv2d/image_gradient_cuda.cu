// Sk-dilated for small maps and few channels: a block holds a band of dY and the rows of X that its
// taps read in shared memory, and its threads together keep the whole filter gradient in registers
// while band after band passes.
//
//   block       up to kImageThreads threads; its slice of the bands of all images
//   thread      K elements of a filter row (tap, input channel) x L output channels, over the rows
//               of a band that its share has; pixels at which a tap falls outside are left out, so
//               no zero is multiplied
//   warp        neighbouring filter elements at the same pixel: dY comes by broadcast
//   slices      partial gradients of the blocks, added in order by a second kernel
#include <algorithm>
#include <string>

#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/image_cuda.h"
#include "cks/kernels/conv2d/methods_cuda.h"
#include "cks/kernels/conv2d/taps.h"

namespace cks::kernels::cuda {
namespace {

using Divide = Divider<std::uint32_t>;

struct GradientTask {
  const float* x;
  const float* dy;
  float* out;  // dW, or [slices][dW]
  std::int64_t x_image, x_row, x_pixel, y_image, y_row, y_pixel;
  ImageGradientShape shape;
  Divide by_channels, by_outputs;
  int IH, IW, OH, OW, FW, IC, OC, sh, sw, pt, pl, dh, dw;
  int filter_row;  // elements: FH * FW * IC
  int filter_size;
  int tiles, slices;                 // bands of all images; blocks that share them
  int interior_begin, interior_end;  // output columns at which every tap falls inside
};

/// One row of dY by one thread: column by column, the elements whose taps fall inside.
template <int K, int L>
struct Row {
  const float* dy;    // of the thread's first lane
  const float* x[K];  // of output column 0; read only from first to last
  int first[K], last[K];

  __device__ __forceinline__ void add(int ow, int y_pitch, int x_step, bool checked,
                                      float (&sum)[K][L]) const {
    float value[L];
#pragma unroll
    for (int q = 0; q < L; q += 4) {
      const float4 v = *reinterpret_cast<const float4*>(dy + ow * y_pitch + q);
      value[q] = v.x, value[q + 1] = v.y, value[q + 2] = v.z, value[q + 3] = v.w;
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (checked && (ow < first[k] || ow >= last[k])) {
        continue;
      }
      const float from_x = x[k][ow * x_step];
#pragma unroll
      for (int lane = 0; lane < L; ++lane) {
        sum[k][lane] = fmaf(value[lane], from_x, sum[k][lane]);
      }
    }
  }
};

template <int K, int L>
__global__ void __launch_bounds__(kImageThreads)
    image_gradient_kernel(const __grid_constant__ GradientTask p) {
  extern __shared__ __align__(16) float shared[];
  const ImageGradientShape& s = p.shape;
  float* y_tile = shared;
  float* x_tile = shared + s.band_rows * p.OW * s.y_pitch;
  const int t = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int tap_group = t % s.tap_groups;
  const int lane_group = t / s.tap_groups % s.lane_groups;
  const int share = t / (s.tap_groups * s.lane_groups);
  const bool works = share < s.sharers;

  // The filter elements of this thread, and the output columns at which their taps fall inside.
  int tap_row[K], x_offset[K], first[K], last[K];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int element = min(tap_group * K + k, p.filter_row - 1);  // beyond: not stored
    const int tap = element / p.IC;
    const int fh = tap / p.FW;
    const int shift = (tap - fh * p.FW) * p.dw - p.pl;
    tap_row[k] = fh * p.dh - p.pt;
    x_offset[k] = shift * p.IC + element - tap * p.IC;
    first[k] = shift >= 0 ? 0 : (-shift + p.sw - 1) / p.sw;
    const int reach = p.IW - 1 - shift;
    last[k] = reach < 0 ? 0 : min(p.OW, reach / p.sw + 1);
  }

  float sum[K][L] = {};
  const int begin = static_cast<int>(static_cast<std::int64_t>(p.tiles) * blockIdx.x / p.slices);
  const int end =
      static_cast<int>(static_cast<std::int64_t>(p.tiles) * (blockIdx.x + 1) / p.slices);
  for (int tile = begin; tile < end; ++tile) {
    const int n = tile / s.bands;
    const int oh0 = (tile - n * s.bands) * s.band_rows;
    const int rows = min(s.band_rows, p.OH - oh0);
    const int ih0 = max(0, min(oh0 * p.sh - p.pt, p.IH - s.x_rows));
    const int x_rows = min(s.x_rows, p.IH - ih0);
    const float* dy = p.dy + n * p.y_image + oh0 * p.y_row;
    for (int i = t; i < rows * p.OW * p.OC; i += threads) {
      const int pixel = static_cast<int>(p.by_outputs.divide(static_cast<std::uint32_t>(i)));
      const int lane = i - pixel * p.OC;
      y_tile[pixel * s.y_pitch + lane] = __ldg(dy + pixel * p.y_pixel + lane);
    }
    const float* x = p.x + n * p.x_image + ih0 * p.x_row;
    for (int i = t; i < x_rows * p.IW * p.IC; i += threads) {
      const int pixel = static_cast<int>(p.by_channels.divide(static_cast<std::uint32_t>(i)));
      x_tile[i] = __ldg(x + pixel * p.x_pixel + i - pixel * p.IC);
    }
    __syncthreads();
    for (int row = works ? share : rows; row < rows; row += s.sharers) {
      Row<K, L> at;
      at.dy = y_tile + row * p.OW * s.y_pitch + lane_group * L;
      bool all = true;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        const int ih = (oh0 + row) * p.sh + tap_row[k];
        const bool inside = ih >= 0 && ih < p.IH;
        all = all && inside && last[k] > 0;
        at.first[k] = first[k];
        at.last[k] = inside ? last[k] : 0;
        at.x[k] = x_tile + (inside ? ih - ih0 : 0) * p.IW * p.IC + x_offset[k];
      }
      const int x_step = p.sw * p.IC;
      const int middle = all ? p.interior_begin : p.OW;
      const int after = all ? p.interior_end : p.OW;
      for (int ow = 0; ow < middle; ++ow) {
        at.add(ow, s.y_pitch, x_step, true, sum);
      }
#pragma unroll 4
      for (int ow = middle; ow < after; ++ow) {
        at.add(ow, s.y_pitch, x_step, false, sum);
      }
      for (int ow = after; ow < p.OW; ++ow) {
        at.add(ow, s.y_pitch, x_step, true, sum);
      }
    }
    __syncthreads();
  }

  float* out = p.out + static_cast<std::int64_t>(blockIdx.x) * p.filter_size;
  const auto store = [&](int element, int lane, float value) {
    if (element < p.filter_row && lane < p.OC) {
      out[static_cast<std::int64_t>(lane) * p.filter_row + element] = value;
    }
  };
  if (s.sharers == 1) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int lane = 0; lane < L; ++lane) {
        if (works) {
          store(tap_group * K + k, lane_group * L + lane, sum[k][lane]);
        }
      }
    }
    return;
  }
  // The shares are added in order: [share][lane][element].
  const int plane = p.filter_row * s.y_pitch;
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int lane = 0; lane < L; ++lane) {
      if (works && tap_group * K + k < p.filter_row) {
        shared[share * plane + (lane_group * L + lane) * p.filter_row + tap_group * K + k] =
            sum[k][lane];
      }
    }
  }
  __syncthreads();
  for (int i = t; i < p.filter_size; i += threads) {
    float total = shared[i];
    for (int other = 1; other < s.sharers; ++other) {
      total += shared[other * plane + i];
    }
    out[i] = total;
  }
}

}  // namespace

std::int64_t image_gradient(const Conv2dProblem& q, const Conv2dPlan& plan, const float* x,
                            const float* dy, float* dw, float* workspace) {
  GradientTask p{};
  p.shape = image_gradient_shape(q, plan.tile_rows, plan.tile_lanes);
  const ImageGradientShape& s = p.shape;
  p.x = x;
  p.dy = dy;
  p.out = plan.slices > 1 ? workspace : dw;
  p.x_pixel = q.x_pitch;
  p.x_row = q.x_pitch * q.IW;
  p.x_image = p.x_row * q.IH;
  p.y_pixel = q.y_pitch;
  p.y_row = q.y_pitch * q.OW;
  p.y_image = p.y_row * q.OH;
  const auto narrow = [](std::int64_t value) { return static_cast<int>(value); };
  p.IH = narrow(q.IH), p.IW = narrow(q.IW), p.OH = narrow(q.OH), p.OW = narrow(q.OW);
  p.FW = narrow(q.FW), p.IC = narrow(q.IC), p.OC = narrow(q.OC);
  p.sh = narrow(q.sh), p.sw = narrow(q.sw), p.pt = narrow(q.pt), p.pl = narrow(q.pl);
  p.dh = narrow(q.dh), p.dw = narrow(q.dw);
  p.by_channels = Divide(q.IC);
  p.by_outputs = Divide(q.OC);
  p.filter_row = narrow(q.FH * q.FW * q.IC);
  p.filter_size = narrow(q.OC * q.FH * q.FW * q.IC);
  p.tiles = narrow(q.N * s.bands);
  p.slices = narrow(plan.slices);
  p.interior_begin = 0;
  p.interior_end = p.OW;
  for (std::int64_t fw = 0; fw < q.FW; ++fw) {
    const IndexRange columns = tap_outputs(column_axis(q), fw);
    p.interior_begin = std::max(p.interior_begin, narrow(columns.begin));
    p.interior_end = std::min(p.interior_end, narrow(columns.end));
  }
  p.interior_begin = std::min(p.interior_begin, p.OW);
  p.interior_end = std::max(p.interior_end, p.interior_begin);

  const auto threads = static_cast<unsigned>(
      ceil_div<std::int64_t>(std::int64_t{s.tap_groups} * s.lane_groups * s.sharers, 32) * 32);
  const auto run = [&](auto kernel) {
    launch("sk_dilated", kernel, dim3(static_cast<unsigned>(p.slices)), threads, s.shared_bytes, p);
  };
  if (s.taps == 1 && s.lanes == 8) {
    run(image_gradient_kernel<1, 8>);
  } else if (s.taps == 2 && s.lanes == 8) {
    run(image_gradient_kernel<2, 8>);
  } else {
    throw PlanError("image_gradient: no tile " + std::to_string(plan.tile_rows) + "x" +
                    std::to_string(plan.tile_lanes));
  }
  if (plan.slices > 1) {
    add_slices(workspace, dw, p.filter_size, plan.slices);
  }
  return exact_multiply_adds(q);
}

}  // namespace cks::kernels::cuda
