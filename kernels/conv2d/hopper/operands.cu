#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/hopper/operands.h"

namespace cks::kernels::hopper {
namespace {

constexpr int kThreads = 256;

__global__ void transpose_filter_kernel(const float* from, float* to, std::int64_t size, int groups,
                                        int out, int taps, int in) {
  cuda::begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step) {
    // i counts the elements of `to`: [groups][in][taps][out].
    const std::int64_t oc = i % out, tap = i / out % taps;
    const std::int64_t ic = i / out / taps % in, group = i / out / taps / in;
    to[i] = from[((group * out + oc) * taps + tap) * in + ic];
  }
}

__global__ void split_into_planes_kernel(const float* from, std::uint16_t* to, std::int64_t pixels,
                                         int channels, std::int64_t from_pitch, int pitch,
                                         int planes) {
  cuda::begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const int pairs = pitch / 2;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < pixels * pairs; i += step) {
    const std::int64_t pixel = i / pairs;
    const int channel = static_cast<int>(i - pixel * pairs) * 2;
    float first = 0.0F, second = 0.0F;
    if (channel + 1 < channels) {
      const float2 pair = *reinterpret_cast<const float2*>(from + pixel * from_pitch + channel);
      first = pair.x;
      second = pair.y;
    } else if (channel < channels) {
      first = from[pixel * from_pitch + channel];
    }
    for (int plane = 0; plane < planes; ++plane) {
      const bfloat16 a(first), b(second);
      *reinterpret_cast<std::uint32_t*>(to + (plane * pixels + pixel) * pitch + channel) =
          std::uint32_t{a.bits} | std::uint32_t{b.bits} << 16;
      first -= static_cast<float>(a);
      second -= static_cast<float>(b);
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
  const std::int64_t size = p.OC * p.FH * p.FW * (p.IC / p.G);
  cuda::launch(operation, transpose_filter_kernel, cuda::grid_for(size, kThreads), kThreads, 0,
               filter, transposed, size, static_cast<int>(p.G), static_cast<int>(p.OC / p.G),
               static_cast<int>(p.FH * p.FW), static_cast<int>(p.IC / p.G));
}

BfloatPixels split_into_planes(const char* operation, const float* from, std::int64_t pixels,
                               std::int64_t channels, std::int64_t from_pitch, int planes,
                               std::uint16_t* to) {
  const std::int64_t pitch = round_up(channels, 8);
  cuda::launch(operation, split_into_planes_kernel, cuda::grid_for(pixels * pitch / 2, kThreads),
               kThreads, 0, from, to, pixels, narrow(channels), from_pitch, narrow(pitch), planes);
  BfloatPixels split{{}, pitch};
  for (int plane = 0; plane < planes; ++plane) {
    split.plane[plane] = to + plane * pixels * pitch;
  }
  return split;
}

}  // namespace cks::kernels::hopper
