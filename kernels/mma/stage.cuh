#pragma once
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/mma/tile.h"

/// Operands on their way into shared memory. An operand is a matrix of rows (rows of A, columns of
/// B) by k; a stage of it is [BK][B], B its extent in the tile.
namespace cks::kernels::cuda {

/// The stages of both operands.
template <class Tile, class T>
struct Stages {
  T a[Tile::BUFFERS][Tile::BK][Tile::BM];
  T b[Tile::BUFFERS][Tile::BK][Tile::BN];
};

/// What one thread carries of an operand into each stage: packs of V elements that neighbour each
/// other along k or along the rows. A loader of an operand derives from it and fills `packs`.
template <class Tile, class T, int B, int V, bool kAlongK>
struct StageLoader {
  static constexpr int kLoads = B * Tile::BK / V / Tile::kThreads;
  static_assert(kLoads * Tile::kThreads * V == B * Tile::BK, "a stage divides evenly");

  Pack<T, V> packs[kLoads];

  /// Of the first element of load i, within the stage. What differs between the loads of a thread
  /// is a constant, so that they share one address.
  static __device__ __forceinline__ int row(int i) {
    const int t = static_cast<int>(threadIdx.x);
    if constexpr (!kAlongK) {
      return t % kPacksAlongRows * V;
    } else if constexpr (kLoadsShareRow) {
      return t / kPacksAlongK % B;
    } else {
      return t / kPacksAlongK + i * (Tile::kThreads / kPacksAlongK);
    }
  }
  static __device__ __forceinline__ int k(int i) {
    const int t = static_cast<int>(threadIdx.x);
    if constexpr (!kAlongK) {
      return t / kPacksAlongRows + i * (Tile::kThreads / kPacksAlongRows);
    } else if constexpr (kLoadsShareRow) {
      return (t / kPacksOfGroup + i * (Tile::kThreads / kPacksOfGroup)) * kGroupDepth +
             t % kPacksAlongK * V;
    } else {
      return t % kPacksAlongK * V;
    }
  }

  /// Where a row stands at k in shared memory. Elements that come along k lie transposed there; the
  /// XOR spreads the k of neighbouring threads over different banks and keeps quads of rows
  /// together.
  static __device__ __forceinline__ int place(int k, int row) {
    return kAlongK ? row ^ (((k >> 2) & 3) << 3) : row;
  }

  __device__ __forceinline__ void store(T (&stage)[Tile::BK][B]) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if constexpr (kAlongK) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          stage[k(i) + v][place(k(i) + v, row(i))] = packs[i][v];
        }
      } else {
        store_pack<V>(&stage[k(i)][row(i)], packs[i]);
      }
    }
  }

 private:
  static constexpr int kPacksAlongRows = B / V;
  static constexpr int kPacksAlongK = kGroupDepth / V;  // of a row, in a group's depth
  static constexpr int kPacksOfGroup = kPacksAlongK * B;
  static constexpr bool kLoadsShareRow = Tile::kThreads >= kPacksOfGroup;
  static_assert(Tile::kThreads % (kAlongK ? (kLoadsShareRow ? kPacksOfGroup : kPacksAlongK)
                                          : kPacksAlongRows) ==
                    0,
                "the loads of a thread lie a constant apart");
  static_assert(!kAlongK || kLoadsShareRow || Tile::GROUPS == 1, "loads stay within their group");
};

}  // namespace cks::kernels::cuda
