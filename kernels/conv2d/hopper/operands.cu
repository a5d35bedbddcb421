#include <vector>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/operands.h"
#include "cks/kernels/hopper/matrix.cuh"

namespace cks::kernels::hopper {
namespace {

constexpr int kSide = 32;  // of the squares that are turned
constexpr int kRows = 8;   // of a block's threads
constexpr int kThreads = 256;

/// from: [out][taps][in], to: [in][taps][out], for each group (blockIdx.z counts groups' taps).
__global__ void transpose_filter_kernel(const float* from, float* to, int out, int taps, int in) {
  cuda::begin_kernel();
  __shared__ float square[kSide][kSide + 1];
  const int group = static_cast<int>(blockIdx.z) / taps, tap = static_cast<int>(blockIdx.z) % taps;
  const int first_in = static_cast<int>(blockIdx.x) * kSide;
  const int first_out = static_cast<int>(blockIdx.y) * kSide;
  const int x = static_cast<int>(threadIdx.x);
  const std::int64_t base = std::int64_t{group} * out * taps * in;
  for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kRows) {
    if (first_out + y < out && first_in + x < in) {
      square[y][x] = from[base + (std::int64_t{first_out + y} * taps + tap) * in + first_in + x];
    }
  }
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.y); y < kSide; y += kRows) {
    if (first_in + y < in && first_out + x < out) {
      to[base + (std::int64_t{first_in + y} * taps + tap) * out + first_out + x] = square[x][y];
    }
  }
}

/// A row of threads takes a pixel: four channels each, then those `threads` on.
__global__ void split_into_planes_kernel(const float* from, std::uint16_t* to, std::int64_t pixels,
                                         int channels, std::int64_t from_pitch, int pitch,
                                         int planes) {
  cuda::begin_kernel();
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.y;
  for (std::int64_t pixel = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; pixel < pixels;
       pixel += step) {
    for (int channel = static_cast<int>(threadIdx.x) * 4; channel < pitch;
         channel += static_cast<int>(blockDim.x) * 4) {
      const float* const source = from + pixel * from_pitch + channel;
      float rest[4] = {0.0F, 0.0F, 0.0F, 0.0F};
      if (channel + 3 < channels && reinterpret_cast<std::uintptr_t>(source) % 16 == 0) {
        const float4 four = *reinterpret_cast<const float4*>(source);
        rest[0] = four.x, rest[1] = four.y, rest[2] = four.z, rest[3] = four.w;
      } else {
        for (int i = 0; i < 4 && channel + i < channels; ++i) {
          rest[i] = source[i];
        }
      }
      for (int plane = 0; plane < planes; ++plane) {
        std::uint32_t pairs[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          pairs[i] = split_off(rest[2 * i], rest[2 * i + 1]);
        }
        *reinterpret_cast<uint2*>(to + (plane * pixels + pixel) * pitch + channel) =
            make_uint2(pairs[0], pairs[1]);
      }
    }
  }
}

}  // namespace

void fill_source_maps(const char* operation, const BoxCorrelation& c, Element element,
                      const void* source, BoxMaps& maps) {
  const std::int64_t line = c.source_pitch * c.source_width;
  const Tensor4 tensor{
      element,
      source,
      {std::int64_t{c.source_channels} * c.groups, c.source_width, c.source_height, c.images},
      {c.source_pitch, line, line * c.source_height}};
  if (c.at_places) {
    maps.source[0] = box_map(operation, tensor, {1, 1, c.box});
    return;
  }
  for (int row = 0; row < c.row_classes; ++row) {
    for (int column = 0; column < c.column_classes; ++column) {
      maps.source[row * c.column_classes + column] = window_map(
          operation, tensor, window_of(c.columns[column]), window_of(c.rows[row]), c.box);
    }
  }
}

CUtensorMap filter_map(const char* operation, const Conv2dProblem& p, Element element,
                       const void* filter, int copies, bool lies_transposed, int rows) {
  const std::int64_t last = (lies_transposed ? p.OC : p.IC) / p.G;
  const std::int64_t first = lies_transposed ? p.IC : p.OC;
  const std::int64_t taps = p.FH * p.FW;
  return box_map(
      operation,
      {element, filter, {last, taps, first, copies}, {last, taps * last, first * taps * last}},
      {1, rows, 1});
}

int multiprocessor_count() {
  int count = 0;
  CKS_CUDA_CHECK(
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, cuda::current_device()));
  return count;
}

void transpose_filter(const char* operation, const Conv2dProblem& p, const float* filter,
                      float* transposed) {
  const int in = narrow(p.IC / p.G), out = narrow(p.OC / p.G), taps = narrow(p.FH * p.FW);
  const dim3 grid(static_cast<unsigned>(ceil_div(in, kSide)),
                  static_cast<unsigned>(ceil_div(out, kSide)),
                  static_cast<unsigned>(narrow(p.G) * taps));
  cuda::launch(operation, transpose_filter_kernel, grid, dim3(kSide, kRows), 0, filter, transposed,
               out, taps, in);
}

NarrowPixels split_into_planes(const char* operation, const float* from, std::int64_t pixels,
                               std::int64_t channels, std::int64_t from_pitch, int planes,
                               std::uint16_t* to) {
  const std::int64_t pitch = round_up(channels, 8);
  unsigned across = 2;  // threads: a power of two, so that a block is full
  while (across < kThreads && across * 4 < pitch) {
    across *= 2;
  }
  const dim3 block(across, kThreads / across);
  cuda::launch(operation, split_into_planes_kernel,
               cuda::grid_for(pixels, static_cast<int>(block.y)), block, 0, from, to, pixels,
               narrow(channels), from_pitch, narrow(pitch), planes);
  NarrowPixels split{{}, pitch};
  for (int plane = 0; plane < planes; ++plane) {
    split.plane[plane] = to + plane * pixels * pitch;
  }
  return split;
}

HalfOperands half_operands(const char* operation, const PreparedConv2d& conv,
                           const Conv2dOperands& o, std::size_t at) {
  const Conv2dProblem& p = conv.problem;
  const Conv2dPass pass = conv.plan.pass;
  std::vector<HalvesJob> jobs;
  const auto halves = [&](const void* given, HalvesJob job) {
    if (given != nullptr) {
      return given;
    }
    job.halves = static_cast<std::byte*>(o.workspace) + at;
    at += halves_bytes(job.pixels * job.channels);
    jobs.push_back(job);
    return static_cast<const void*>(job.halves);
  };
  const auto x = [&] { return halves(o.halves.x, x_halves_job(p, o.x, nullptr)); };
  const auto w = [&] { return halves(o.halves.w, w_halves_job(p, o.w, nullptr)); };
  const auto y = [&] { return halves(o.halves.y, y_halves_job(p, o.y, nullptr)); };
  const HalfOperands made = pass == Conv2dPass::forward         ? HalfOperands{x(), w()}
                            : pass == Conv2dPass::backward_data ? HalfOperands{y(), w()}
                                                                : HalfOperands{x(), y()};
  cuda::make_halves(operation, jobs);
  return made;
}

GradientOperands gradient_operands(const char* operation, const PreparedConv2d& conv,
                                   const Conv2dOperands& operands, int planes) {
  const Conv2dProblem& p = conv.problem;
  const std::int64_t split_k = conv.plan.split_k;
  GradientOperands o{{{static_cast<const std::uint16_t*>(operands.x)}, p.x_pitch},
                     {{static_cast<const std::uint16_t*>(operands.y)}, p.y_pitch},
                     static_cast<float*>(cuda::gradient_slices(conv, operands))};
  if (planes > 1) {
    const std::int64_t sums = split_k > 1 ? round_up(cuda::filter_size(p) * split_k, 64) : 0;
    auto* const split =
        reinterpret_cast<std::uint16_t*>(static_cast<float*>(operands.workspace) + sums);
    const std::int64_t pixels = p.N * p.IH * p.IW;
    o.x = split_into_planes(operation, static_cast<const float*>(operands.x), pixels, p.IC,
                            p.x_pitch, planes, split);
    o.dy =
        split_into_planes(operation, static_cast<const float*>(operands.y), p.N * p.OH * p.OW, p.OC,
                          p.y_pitch, planes, split + round_up(planes * pixels * o.x.pitch, 64));
  }
  return o;
}

}  // namespace cks::kernels::hopper
