#pragma once

/// A thread's part of a tiled matrix product: EACH rows (or columns) of a tile of TILE, as quads
/// that lie TILE / (EACH / 4) apart, so that neighbouring threads read neighbouring quads.
namespace cks::kernels::cuda {

/// Of quad q of a thread, its first row in the tile.
template <int TILE, int EACH>
__device__ __forceinline__ int quad_row(int q, int thread) {
  return q * (TILE / (EACH / 4)) + thread * 4;
}

/// Loads the thread's rows from one k of a stage, 16 bytes at a time; place(row) is where a row
/// lies.
template <int TILE, int EACH, class Place>
__device__ __forceinline__ void load_quads(const float* stage, int thread, Place&& place,
                                           float (&to)[EACH]) {
#pragma unroll
  for (int q = 0; q < EACH / 4; ++q) {
    const float4 v =
        *reinterpret_cast<const float4*>(stage + place(quad_row<TILE, EACH>(q, thread)));
    to[4 * q] = v.x, to[4 * q + 1] = v.y, to[4 * q + 2] = v.z, to[4 * q + 3] = v.w;
  }
}

/// sum += a b^T.
template <class T, int TM, int TN>
__device__ __forceinline__ void add_outer_product(const T (&a)[TM], const T (&b)[TN],
                                                  T (&sum)[TM][TN]) {
#pragma unroll
  for (int i = 0; i < TM; ++i) {
#pragma unroll
    for (int j = 0; j < TN; ++j) {
      sum[i][j] = fma(a[i], b[j], sum[i][j]);
    }
  }
}

}  // namespace cks::kernels::cuda
