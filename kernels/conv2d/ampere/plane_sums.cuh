#pragma once
#include "cks/kernels/ampere/matrix.cuh"
#include "cks/kernels/conv2d/ampere/geometry.h"

/// Products of float32 on bf16 tensor cores: six of bfloat16 planes (hopper/plane_products.h).
namespace cks::kernels::ampere {

/// Adds the products of 16 terms to the sums of a warp: begun anew, the small ones first, and added
/// in float32, since the tensor cores cut what they add. load(b, plane, tile): a plane of B of
/// kTiles tiles of 8 columns.
template <int kRowTiles, int kColumnTiles, class Load>
__device__ __forceinline__ void multiply_planes(float (&sums)[kRowTiles][kColumnTiles][4],
                                                const std::uint32_t (&a)[kMostPlanes][kRowTiles][4],
                                                Load&& load) {
  constexpr int kTiles = 4;  // at a time; all take more registers than there are
  static_assert(kColumnTiles % kTiles == 0);
#pragma unroll
  for (int first = 0; first < kColumnTiles; first += kTiles) {
    std::uint32_t b[kMostPlanes][kTiles][2];
#pragma unroll
    for (int plane = 0; plane < kMostPlanes; ++plane) {
      load(b[plane], plane, first);
    }
    float products[kRowTiles][kTiles][4];
#pragma unroll
    for (int product = 0; product < kPlaneProducts; ++product) {
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          if (product == 0) {
            multiply_bf16_anew(products[m][n], a[left_plane(0)][m], b[right_plane(0)][n]);
          } else {
            multiply_bf16(products[m][n], a[left_plane(product)][m], b[right_plane(product)][n]);
          }
        }
      }
    }
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[m][first + n][i] += products[m][n][i];
        }
      }
    }
  }
}

}  // namespace cks::kernels::ampere
