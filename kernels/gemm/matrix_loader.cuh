#pragma once
#include <cstdint>

#include "cks/kernels/mma/stage.cuh"

/// How the operands of a matrix product come into shared memory.
namespace cks::kernels::cuda {

/// One operand: row r (of A, or column of B) at k lies at data[r*ld + k], or at data[k*ld + r] if
/// it is stored along its rows.
template <class T>
struct Operand {
  const T* data;
  std::int64_t ld;
  std::int64_t rows;
  bool packs;  // base and ld allow 16-byte loads
};

/// The k of a slice that are still to be loaded; more than an int holds would fill terabytes.
template <class Tile>
struct SliceCursor {
  int left;

  __device__ __forceinline__ bool more() const { return left > 0; }
  __device__ __forceinline__ void advance() { left -= Tile::BK; }
};

/// A pack at an edge, or one that is not aligned, is loaded element by element.
template <class T, class Tile, int B, bool kAlongK>
struct MatrixLoader : StageLoader<Tile, T, B, kPackSize<T>, kAlongK> {
  static constexpr int V = kPackSize<T>;
  using Stage = StageLoader<Tile, T, B, V, kAlongK>;

  const T* source[Stage::kLoads];
  int rows[Stage::kLoads];  // that exist, of the pack (along its rows), or 0 or 1 (along k)
  std::int64_t step;        // elements between stages
  bool packs_allowed;

  __device__ __forceinline__ MatrixLoader(const Operand<T>& from, std::int64_t row0,
                                          std::int64_t k0)
      : step(kAlongK ? Tile::BK : Tile::BK * from.ld), packs_allowed(from.packs) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      const std::int64_t row = row0 + Stage::row(i);
      const std::int64_t k = k0 + Stage::k(i);
      source[i] = from.data + (kAlongK ? row * from.ld + k : k * from.ld + row);
      const std::int64_t left = from.rows - row;
      const int most = kAlongK ? 1 : V;
      rows[i] = left < 0 ? 0 : (left < most ? static_cast<int>(left) : most);
    }
  }

  __device__ __forceinline__ void load(const SliceCursor<Tile>& cursor) {
    const int depth = min(cursor.left, Tile::BK);
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      const int k = Stage::k(i);
      const int left = kAlongK ? (rows[i] != 0 ? depth - k : 0) : (k < depth ? rows[i] : 0);
      if (packs_allowed && left >= V) {
        this->packs[i] = load_pack<V>(source[i]);
      } else {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          this->packs[i][v] = v < left ? source[i][v] : T{0};
        }
      }
      source[i] += step;
    }
  }
};

}  // namespace cks::kernels::cuda
