#pragma once
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/mma/tile.h"

/// A thread's part of a tile: rows and columns as quads that lie TILE / (EACH / 4) apart, so that
/// neighbouring threads read neighbouring quads.
namespace cks::kernels::cuda {

/// Of row (or column) i of a thread's EACH: where it lies in the tile.
template <int TILE, int EACH>
__device__ __forceinline__ int tile_index(int i, int thread) {
  return i / 4 * (TILE / (EACH / 4)) + thread * 4 + i % 4;
}

/// Which sums of the block's tile the thread has.
template <class Tile>
struct ThreadTile {
  int group, tx, ty;

  __device__ __forceinline__ ThreadTile() {
    const int t = static_cast<int>(threadIdx.x);
    const int in_group = Tile::GROUPS == 1 ? t : t % Tile::kGroupThreads;
    group = Tile::GROUPS == 1 ? 0 : t / Tile::kGroupThreads;
    tx = in_group % (Tile::BN / Tile::TN);
    ty = in_group / (Tile::BN / Tile::TN);
  }
  __device__ __forceinline__ int row(int i) const { return tile_index<Tile::BM, Tile::TM>(i, ty); }
  __device__ __forceinline__ int column(int j) const {
    return tile_index<Tile::BN, Tile::TN>(j, tx);
  }
};

/// Loads the thread's rows (or columns) of one k of a stage, 16 bytes at a time; place(row) is
/// where a row lies.
template <int TILE, int EACH, class T, class Place>
__device__ __forceinline__ void load_quads(const T* stage, int thread, Place&& place,
                                           T (&to)[EACH]) {
  constexpr int V = kPackSize<T>;
#pragma unroll
  for (int i = 0; i < EACH; i += 4) {
    const T* quad = stage + place(tile_index<TILE, EACH>(i, thread));
#pragma unroll
    for (int j = 0; j < 4; j += V) {
      const Pack<T, V> pack = load_pack<V>(quad + j);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        to[i + j + v] = pack[v];
      }
    }
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
