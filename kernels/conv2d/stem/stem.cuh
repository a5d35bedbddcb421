#pragma once
#include "cks/kernels/ampere/matrix.cuh"
#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/conv2d/hopper/plane_products.h"
#include "cks/kernels/conv2d/stem/stem.h"

/// What both kernels for first layers stage: pixels in bfloat16 planes.
namespace cks::kernels::stem {

using hopper::first_plane_product;
using hopper::kPlaneProducts;
using hopper::left_plane;
using hopper::right_plane;

/// bfloat16 is loaded as its bits.
template <class T>
using Loaded = std::conditional_t<sizeof(T) == 2, std::uint16_t, float>;

/// Adds to sums what the planes of a chunk of steps give; kPlanes float32 sums are those of
/// multiply(sums, left plane, right plane), the smallest products first.
template <int kPlanes, class Multiply>
__device__ __forceinline__ void multiply_planes(Multiply&& multiply) {
#pragma unroll
  for (int product = first_plane_product(kPlanes); product < kPlaneProducts; ++product) {
    multiply(left_plane(product), right_plane(product));
  }
}

/// The planes of an element.
template <int kPlanes>
__device__ __forceinline__ void split(float value, std::uint16_t (&bits)[kPlanes]) {
  std::uint32_t pairs[kPlanes];
  ampere::split_pair(make_float2(value, 0.0F), pairs);
#pragma unroll
  for (int plane = 0; plane < kPlanes; ++plane) {
    bits[plane] = static_cast<std::uint16_t>(pairs[plane]);
  }
}
template <int kPlanes>
__device__ __forceinline__ void split(std::uint16_t value, std::uint16_t (&bits)[kPlanes]) {
  static_assert(kPlanes == 1, "bfloat16 is its own plane");
  bits[0] = value;
}

/// The first position of a tile.
struct Origin {
  int n, oh, ow;
};
__device__ __forceinline__ Origin origin_of(const StemTiles& t, int tile) {
  const int line = tile / t.across;
  const int image = line / t.down;
  return {image * t.images, (line - image * t.down) * t.rows, (tile - line * t.across) * t.columns};
}

/// Where a position's pixel of Y begins, in elements; negative if it does not exist.
__device__ __forceinline__ std::int64_t output_of(const Conv2dProblem& p, const Origin& origin,
                                                  int place) {
  const Place at = unpacked(place);
  const int n = origin.n + at.n, oh = origin.oh + at.oh, ow = origin.ow + at.ow;
  const bool exists = place != kNoPlace && n < p.N && oh < p.OH && ow < p.OW;
  return exists ? ((n * p.OH + oh) * p.OW + ow) * p.y_pitch : -1;
}

/// Reads the pixels of a tile and stores them.
struct StripSource {
  Conv2dProblem problem;
  StemTiles tiles;
  cuda::Divider<std::uint32_t> by_row, by_pixel, by_source_rows;

  StripSource(const Conv2dProblem& p, const StemTiles& t)
      : problem(p),
        tiles(t),
        by_row(t.row_elements),
        by_pixel(t.held_channels),
        by_source_rows(t.source_rows) {}

  /// place(row, column, channel) says at which element of the strip it lies; rows count on from
  /// image to image.
  template <int kThreads, int kPlanes, class L, class PlaceOf>
  __device__ __forceinline__ void stage(const L* x, int tile, std::uint32_t* strip,
                                        PlaceOf&& place) const {
    constexpr int kBatch = 1024 / kThreads;  // loads of a thread that are under way together
    const StemTiles& t = tiles;
    const Origin origin = origin_of(t, tile);
    const int top = static_cast<int>(origin.oh * problem.sh - problem.pt);
    const int left = static_cast<int>(origin.ow * problem.sw - problem.pl);
    const int height = static_cast<int>(problem.IH), width = static_cast<int>(problem.IW);
    const int channels = static_cast<int>(problem.IC), images = static_cast<int>(problem.N);
    const int total = t.images * t.source_rows * t.row_elements;
    for (int first = static_cast<int>(threadIdx.x); first < total; first += kBatch * kThreads) {
      L value[kBatch];
      int at[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const auto i = static_cast<std::uint32_t>(first + b * kThreads);
        const std::uint32_t row = by_row.divide(i);
        const std::uint32_t element = i - row * by_row.divisor;
        const std::uint32_t column = by_pixel.divide(element);
        const int channel = static_cast<int>(element - column * by_pixel.divisor);
        const std::uint32_t image = by_source_rows.divide(row);
        const int n = origin.n + static_cast<int>(image);
        const int ih = top + static_cast<int>(row - image * by_source_rows.divisor);
        const int iw = left + static_cast<int>(column);
        value[b] = L{0};
        at[b] = place(static_cast<int>(row), static_cast<int>(column), channel);
        if (static_cast<int>(i) < total && n < images && ih >= 0 && ih < height && iw >= 0 &&
            iw < width && channel < channels) {
          value[b] =
              __ldg(x + ((std::int64_t{n} * height + ih) * width + iw) * problem.x_pitch + channel);
        }
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        if (first + b * kThreads < total) {
          store<kPlanes>(value[b], at[b], strip);
        }
      }
    }
  }

 private:
  /// Into all copies of all planes; the second lacks the first element.
  template <int kPlanes, class L>
  __device__ __forceinline__ void store(L value, int at, std::uint32_t* strip) const {
    std::uint16_t bits[kPlanes];
    split(value, bits);
    auto* to = reinterpret_cast<std::uint16_t*>(strip);
#pragma unroll
    for (int plane = 0; plane < kPlanes; ++plane, to += 2 * tiles.copies * tiles.copy_words) {
      to[at] = bits[plane];
      if (tiles.copies == 2 && at > 0) {
        to[2 * tiles.copy_words + at - 1] = bits[plane];
      }
    }
  }
};

}  // namespace cks::kernels::stem
