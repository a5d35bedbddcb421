// ConvV2 and KS-deconv for small maps and few channels: a block holds whole images of the source
// and the whole filter in shared memory, so that nothing is read twice from far away and a thread
// may own any position: it walks exactly the taps that its position meets.
//
//   block       up to kImageThreads threads, for `images` images; gridDim.y blocks share their
//               positions
//   thread      one position in each of these images x L lanes (output channels of the pass); a
//               warp has 32 neighbouring positions of the same lanes, so that it reads the filter
//               by broadcast
//   shared      filter [tap][channel][lane], source [image][pixel][pitch], and for each target row
//               and column which taps it meets
#include <algorithm>
#include <string>

#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/correlation_cuda.h"
#include "cks/kernels/conv2d/image_cuda.h"
#include "cks/kernels/conv2d/methods_cuda.h"

namespace cks::kernels::cuda {
namespace {

using Divide = Divider<std::uint32_t>;

struct ImageTask {
  Correlation c;
  ImageCorrelationShape shape;
  Divide by_channels, by_filter_block, by_padded_positions, by_target_w;
  int filter_size, filter_columns;
  int2 row_steps, column_steps;  // from a tap to the next, in the source and in the filter
  bool forward, merged, vectors;
};

/// The taps that a row or column of the target meets: the first one, the source that it reads, and
/// how many.
struct Place {
  int source;
  short tap, taps;
};

__device__ void expand(const Run* runs, int count, Place* places) {
  for (int i = 0; i < count; ++i) {
    const Run& run = runs[i];
    for (int k = static_cast<int>(threadIdx.x); k < run.count; k += static_cast<int>(blockDim.x)) {
      places[run.target + k * run.target_step] = {run.source + k * run.source_step,
                                                  static_cast<short>(run.filter_tap),
                                                  static_cast<short>(run.taps)};
    }
  }
}

template <int I, int L>
__global__ void __launch_bounds__(kImageThreads)
    image_correlation_kernel(const __grid_constant__ ImageTask p) {
  extern __shared__ __align__(16) float shared[];
  const ImageCorrelationShape& s = p.shape;
  float* filter = shared;
  float* source = filter + s.filter_floats;
  Place* rows = reinterpret_cast<Place*>(source + I * s.source_floats);
  Place* columns = rows + s.target_h;
  const int threads = static_cast<int>(blockDim.x);
  const int t = static_cast<int>(threadIdx.x);
  const int filter_lanes = s.lane_groups * L;

  // The filter lies as W[OC,FH,FW,IC]: lane-major forward, channel-major backward.
  for (int i = t; i < p.filter_size; i += threads) {
    const int outer = static_cast<int>(p.by_filter_block.divide(static_cast<std::uint32_t>(i)));
    const int rest = i - outer * static_cast<int>(p.by_filter_block.divisor);
    if (p.forward) {
      filter[rest * filter_lanes + outer] = __ldg(p.c.filter + i);
    } else {
      const int tap = rest / p.c.lanes;
      filter[(tap * s.channels + outer) * filter_lanes + rest - tap * p.c.lanes] =
          __ldg(p.c.filter + i);
    }
  }
  const int first_image = static_cast<int>(blockIdx.x) * I;
  const int source_elements = s.source_h * s.source_w * s.channels;
#pragma unroll
  for (int image = 0; image < I; ++image) {
    // An image beyond the last one is the last one again and is not stored.
    const int n = min(first_image + image, p.c.images - 1);
    const float* from = p.c.source + n * p.c.source_image;
    for (int i = t; i < source_elements; i += threads) {
      const int pixel = static_cast<int>(p.by_channels.divide(static_cast<std::uint32_t>(i)));
      const int channel = i - pixel * s.channels;
      source[image * static_cast<int>(s.source_floats) + pixel * s.pitch + channel] =
          __ldg(from + pixel * p.c.source_pixel + channel);
    }
  }
  expand(p.c.rows, p.c.row_runs, rows);
  expand(p.c.columns, p.c.column_runs, columns);
  __syncthreads();

  const int row_step = p.row_steps.x * s.source_w * s.pitch;
  const int column_step = p.column_steps.x * s.pitch;
  const int tap_floats = s.channels * filter_lanes;
  const int filter_row_step = p.row_steps.y * p.filter_columns * tap_floats;
  const int filter_column_step = p.column_steps.y * tap_floats;
  const int positions = s.target_h * s.target_w;
  const int items = static_cast<int>(s.items);
  for (int item = static_cast<int>(blockIdx.y) * threads + t; item < items;
       item += static_cast<int>(gridDim.y) * threads) {
    const int group =
        static_cast<int>(p.by_padded_positions.divide(static_cast<std::uint32_t>(item)));
    const int position = item - group * static_cast<int>(p.by_padded_positions.divisor);
    if (position >= positions) {
      continue;
    }
    const int r = static_cast<int>(p.by_target_w.divide(static_cast<std::uint32_t>(position)));
    const int c = position - r * s.target_w;
    const Place row = rows[r];
    const Place column = columns[c];
    const int lane0 = group * L;
    const float* x_row = source + (row.source * s.source_w + column.source) * s.pitch;
    const float* w_row = filter + (row.tap * p.filter_columns + column.tap) * tap_floats + lane0;
    // Where the taps of a row lie side by side, they count as one tap of more channels.
    const int column_taps = p.merged ? min(1, static_cast<int>(column.taps)) : column.taps;
    const int channels = p.merged ? column.taps * s.channels : s.channels;
    float sum[I][L] = {};
    for (int i = 0; i < row.taps; ++i, x_row += row_step, w_row += filter_row_step) {
      const float* x = x_row;
      const float* w = w_row;
      for (int j = 0; j < column_taps; ++j, x += column_step, w += filter_column_step) {
#pragma unroll 4
        for (int channel = 0; channel < channels; ++channel) {
          float value[I];
#pragma unroll
          for (int image = 0; image < I; ++image) {
            value[image] = x[image * static_cast<int>(s.source_floats) + channel];
          }
#pragma unroll
          for (int lane = 0; lane < L; lane += 4) {
            const float4 v = *reinterpret_cast<const float4*>(w + channel * filter_lanes + lane);
#pragma unroll
            for (int image = 0; image < I; ++image) {
              sum[image][lane] = fmaf(value[image], v.x, sum[image][lane]);
              sum[image][lane + 1] = fmaf(value[image], v.y, sum[image][lane + 1]);
              sum[image][lane + 2] = fmaf(value[image], v.z, sum[image][lane + 2]);
              sum[image][lane + 3] = fmaf(value[image], v.w, sum[image][lane + 3]);
            }
          }
        }
      }
    }
    if (p.c.bias != nullptr) {
#pragma unroll
      for (int lane = 0; lane < L; ++lane) {
        const float bias = lane0 + lane < p.c.lanes ? __ldg(p.c.bias + lane0 + lane) : 0.0F;
#pragma unroll
        for (int image = 0; image < I; ++image) {
          sum[image][lane] += bias;
        }
      }
    }
#pragma unroll
    for (int image = 0; image < I; ++image) {
      if (first_image + image >= p.c.images) {
        continue;
      }
      float* to = p.c.target + (first_image + image) * p.c.target_image +
                  position * p.c.target_pixel + lane0;
#pragma unroll
      for (int lane = 0; lane < L; lane += 4) {
        if (p.vectors && lane0 + lane < p.c.lanes) {
          *reinterpret_cast<float4*>(to + lane) = make_float4(
              sum[image][lane], sum[image][lane + 1], sum[image][lane + 2], sum[image][lane + 3]);
        } else {
#pragma unroll
          for (int v = 0; v < 4; ++v) {
            if (lane0 + lane + v < p.c.lanes) {
              to[lane + v] = sum[image][lane + v];
            }
          }
        }
      }
    }
  }
}

/// The steps of an axis, the same in all runs that have taps.
int2 steps_of(const Run* runs, int count) {
  const Run* run = std::find_if(runs, runs + count, [](const Run& r) { return r.taps > 0; });
  return run == runs + count ? make_int2(0, 0) : make_int2(run->tap_step, run->filter_step);
}

/// Blocks that share the positions of one group of images: enough for a large GPU, and at least as
/// many as one pass of all threads needs where there are few images.
constexpr std::int64_t kWantedBlocks = 528;

}  // namespace

std::int64_t image_correlation(const Conv2dProblem& problem, const Conv2dPlan& plan,
                               const float* source, const float* filter, const float* bias,
                               float* target) {
  const PlannedCorrelation planned =
      plan_correlation(problem, plan.pass, 1, plan.tile_lanes, source, filter, bias, target);
  ImageTask p{};
  p.c = planned.correlation;
  p.shape = image_correlation_shape(problem, plan.pass, plan.tile_rows, plan.tile_lanes);
  const ImageCorrelationShape& s = p.shape;
  p.forward = plan.pass == Conv2dPass::forward;
  p.by_channels = Divide(s.channels);
  p.by_filter_block = Divide(problem.FH * problem.FW * problem.IC);
  p.by_padded_positions = Divide(s.items / s.lane_groups);
  p.by_target_w = Divide(s.target_w);
  p.filter_size = static_cast<int>(problem.OC * problem.FH * problem.FW * problem.IC);
  p.filter_columns = static_cast<int>(problem.FW);
  p.row_steps = steps_of(p.c.rows, p.c.row_runs);
  p.column_steps = steps_of(p.c.columns, p.c.column_runs);
  p.merged = p.forward && problem.dw == 1 && s.pitch == s.channels;
  p.vectors = p.c.lanes % 4 == 0 && p.c.target_pixel % 4 == 0 &&
              reinterpret_cast<std::uintptr_t>(target) % 16 == 0;

  const std::int64_t groups = ceil_div<std::int64_t>(p.c.images, s.images);
  const std::int64_t passes = ceil_div<std::int64_t>(s.items, kImageThreads);
  const std::int64_t parts = std::clamp(ceil_div(kWantedBlocks, groups), std::int64_t{1}, passes);
  const std::int64_t rounds = ceil_div(passes, parts);
  const auto threads =
      static_cast<unsigned>(ceil_div(ceil_div(s.items, parts * rounds), std::int64_t{32}) * 32);
  const dim3 grid(static_cast<unsigned>(groups), static_cast<unsigned>(parts));
  const char* operation = p.forward ? "convv2" : "ks_deconv";
  const auto run = [&](auto kernel) {
    launch(operation, kernel, grid, threads, s.shared_bytes, p);
  };
  if (s.images == 1 && s.lanes == 4) {
    run(image_correlation_kernel<1, 4>);
  } else if (s.images == 1 && s.lanes == 8) {
    run(image_correlation_kernel<1, 8>);
  } else if (s.images == 1 && s.lanes == 16) {
    run(image_correlation_kernel<1, 16>);
  } else if (s.images == 2 && s.lanes == 4) {
    run(image_correlation_kernel<2, 4>);
  } else if (s.images == 2 && s.lanes == 8) {
    run(image_correlation_kernel<2, 8>);
  } else if (s.images == 2 && s.lanes == 16) {
    run(image_correlation_kernel<2, 16>);
  } else {
    throw PlanError("image_correlation: no tile " + std::to_string(plan.tile_rows) + "x" +
                    std::to_string(plan.tile_lanes));
  }
  return planned.executed;
}

}  // namespace cks::kernels::cuda
