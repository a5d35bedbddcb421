#pragma once
#include "cks/kernels/ampere/matrix.cuh"

/// What a warp has of a unit of a tile K: K::kRowTiles x K::kColumnTiles tiles of 16 x 8 sums.
namespace cks::kernels::ampere {

template <class K>
using Sums = float[K::kRowTiles][K::kColumnTiles][4];

/// Where they begin: of the warps of a block, K::kWarpColumns stand side by side.
struct WarpPart {
  int row, column;
};
template <class K>
__device__ __forceinline__ WarpPart warp_part() {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  return {warp / K::kWarpColumns * (K::kRowTiles * 16),
          warp % K::kWarpColumns * (K::kColumnTiles * 8)};
}

/// sums += A * B of 32 bytes of K, bfloat16 or, of words, tf32.
template <bool kBf16, int kRowTiles, int kColumnTiles>
__device__ __forceinline__ void multiply_tiles(float (&sums)[kRowTiles][kColumnTiles][4],
                                               const std::uint32_t (&a)[kRowTiles][4],
                                               const std::uint32_t (&b)[kColumnTiles][2]) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
      if constexpr (kBf16) {
        multiply_bf16(sums[m][n], a[m], b[n]);
      } else {
        multiply_tf32(sums[m][n], a[m], b[n]);
      }
    }
  }
}

/// B of kTiles x 8 columns from `first` on and 32 bytes of K, those of `part` of the stage. Columns
/// lie a row each, or, transposed, the terms of K do, of 2 bytes. place(row, byte) is where in
/// shared memory a byte of a row lies.
template <bool kTransposed, int kTiles, class Place>
__device__ __forceinline__ void load_columns(std::uint32_t (&b)[kTiles][2], int first, int part,
                                             Place&& place) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int n = 0; n < kTiles; n += 2) {
    const int column = first + n * 8 + lane / 16 * 8;
    std::uint32_t both[4];
    if constexpr (kTransposed) {
      load_matrices<true>(both, place(part * 16 + lane % 16, column * 2));
    } else {
      load_matrices<false>(both, place(column + lane % 8, part * 32 + lane / 8 % 2 * 16));
    }
    b[n][0] = both[0];
    b[n][1] = both[1];
    b[n + 1][0] = both[2];
    b[n + 1][1] = both[3];
  }
}

}  // namespace cks::kernels::ampere
