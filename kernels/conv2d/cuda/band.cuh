#pragma once
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/conv2d/cuda/band.h"

/// What the kernels of band.h share.
namespace cks::kernels::cuda {

/// Neighbouring channels that may be loaded at once: 4 where addresses allow it, else 1.
inline int packs_of(const float* data, std::int64_t channels, std::int64_t pixel) {
  return channels % 4 == 0 && pixel % 4 == 0 && aligned_for_packs(data) ? 4 : 1;
}

/// Where the images of a launch lie.
struct BandSource {
  const float* data;
  std::int64_t image, pixel;  // elements from one to the next
  int pack;                   // channels that one thread loads at a time: 4 or 1
  Divider<std::uint32_t> by_packs, by_columns;
};

inline BandSource band_source(const float* data, const BandPlanes& planes, std::int64_t pixel) {
  const int pack = packs_of(data, planes.channels, pixel);
  return {
      data, pixel * planes.image_w * planes.image_h,        pixel,
      pack, Divider<std::uint32_t>(planes.channels / pack), Divider<std::uint32_t>(planes.image_w)};
}

/// Stages the rows of image n from first_row on; those outside the image become zeros. Needs a
/// __syncthreads() before and after; has one inside.
__device__ __forceinline__ void stage_planes(const BandSource& from, const BandPlanes& s, int n,
                                             int first_row, float* planes) {
  const int t = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  for (int i = t; i < s.plane * s.channels / 4; i += threads) {
    store_pack<4>(planes + 4 * i, Pack<float, 4>{});
  }
  __syncthreads();
  const int begin = max(0, first_row);
  const int end = min(s.image_h, first_row + s.rows);
  const float* rows =
      from.data + n * from.image + static_cast<std::int64_t>(begin) * s.image_w * from.pixel;
  const int packs = s.channels / from.pack;
  const int count = (end - begin) * s.image_w * packs;
#pragma unroll 4
  for (int i = t; i < count; i += threads) {
    const int pixel = static_cast<int>(from.by_packs.divide(static_cast<std::uint32_t>(i)));
    const int channel = (i - pixel * packs) * from.pack;
    const int row = static_cast<int>(from.by_columns.divide(static_cast<std::uint32_t>(pixel)));
    const int column = pixel - row * s.image_w + s.pad_w;
    if (column < 0 || column >= s.pitch) {
      continue;
    }
    const float* source = rows + pixel * from.pixel + channel;
    float* to = planes + channel * s.plane + (begin + row - first_row) * s.pitch + column;
    if (from.pack == 4) {
      const Pack<float, 4> pack = load_constant_pack<4>(source, true);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        to[c * s.plane] = pack[c];
      }
    } else {
      to[0] = __ldg(source);
    }
  }
}

/// `Count` floats from an address that is a multiple of 16 bytes if Count is one of 4, else of 8.
template <int Count>
__device__ __forceinline__ void load_floats(const float* from, float* to) {
  static_assert(Count % 2 == 0, "pairs at least");
  constexpr int kStep = Count % 4 == 0 ? 4 : 2;
#pragma unroll
  for (int i = 0; i < Count; i += kStep) {
    const Pack<float, kStep> pack = load_pack<kStep>(from + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) {
      to[i + j] = pack[j];
    }
  }
}

}  // namespace cks::kernels::cuda
