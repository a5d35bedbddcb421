#pragma once
#include "cks/kernels/ampere/matrix.cuh"

/// B of a warp's products, read as matrices from a stage of shared memory.
namespace cks::kernels::ampere {

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
