#pragma once
#include <cstdint>

#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/mma/register_tile.cuh"

/// From a thread's sums to the product in memory.
namespace cks::kernels::cuda {

/// What is done to a finished sum before it is stored: at(column) loads, once a thread, what a
/// column needs; apply() makes the value that is stored at `to`. Columns are channels, from `first`
/// on; `base` is the result's first element.
template <class T>
struct ChannelEpilogue {
  const TypedEpilogue<T>& epilogue;
  const T* base;
  std::int64_t first;

  using Column = T;
  __device__ __forceinline__ Column at(std::int64_t column) const {
    return epilogue.bias == nullptr ? T{0} : __ldg(epilogue.bias + first + column);
  }
  __device__ __forceinline__ T apply(T sum, Column bias, std::int64_t column, const T* to) const {
    const T value = sum + bias;
    return epilogue.is_plain ? value : epilogue.finish(value, first + column, to - base);
  }
};

/// Sums are stored as they are.
template <class T>
struct NoEpilogue {
  struct Column {};
  __device__ __forceinline__ Column at(std::int64_t /*column*/) const { return {}; }
  __device__ __forceinline__ T apply(T sum, Column /*none*/, std::int64_t /*column*/,
                                     const T* /*to*/) const {
    return sum;
  }
};

enum class Stores {
  packs,     // of 16 bytes: addresses and columns allow it
  elements,  // one by one
  aligned,   // packs but for those at the edge, where the output says that addresses allow it
};

/// The part of the product that a block writes: so many rows and columns of its tile exist; the
/// epilogue counts from the tile's first column.
template <Stores kStores, class Epilogue>
struct TileOutput {
  using Column = typename Epilogue::Column;

  int rows, columns;
  Epilogue epilogue;
  bool is_aligned = true;

  /// Stores V neighbouring sums, from `column` on, of a row that begins at `row`; of_columns is
  /// what the epilogue needs of these columns.
  template <int V, class T>
  __device__ __forceinline__ void store(T* row, int column, const T* sums,
                                        const Column* of_columns) const {
    T* to = row + column;
    if (kStores != Stores::elements && is_aligned && column + V <= columns) {
      Pack<T, V> values;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        values.lane[v] = epilogue.apply(sums[v], of_columns[v], column + v, to + v);
      }
      store_pack<V>(to, values);
    } else if constexpr (kStores != Stores::packs) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (column + v < columns) {
          to[v] = epilogue.apply(sums[v], of_columns[v], column + v, to + v);
        }
      }
    }
  }
};

/// Stores the thread's sums; address(row) is where a row of the tile begins.
template <class Tile, class T, class Output, class Address>
__device__ __forceinline__ void store_tile(const T (&sum)[Tile::TM][Tile::TN],
                                           const ThreadTile<Tile>& thread, const Output& output,
                                           Address&& address) {
  constexpr int V = kPackLanes<T>;
  typename Output::Column of_columns[Tile::TN] = {};
#pragma unroll
  for (int j = 0; j < Tile::TN; ++j) {
    if (thread.column(j) < output.columns) {
      of_columns[j] = output.epilogue.at(thread.column(j));
    }
  }
#pragma unroll
  for (int i = 0; i < Tile::TM; ++i) {
    const int row = thread.row(i);
    if (row < output.rows) {
      T* to = address(row);
#pragma unroll
      for (int j = 0; j < Tile::TN; j += V) {
        output.template store<V>(to, thread.column(j), sum[i] + j, of_columns + j);
      }
    }
  }
}

/// The sums of all groups; may lie where the stages lay.
template <class Tile, class T>
using GroupSums = T[Tile::GROUPS][Tile::BM][Tile::BN];

/// The same after the sums of the groups have been added in order.
template <class Tile, class T, class Output, class Address>
__device__ __forceinline__ void store_groups(GroupSums<Tile, T>& shared,
                                             const T (&sum)[Tile::TM][Tile::TN],
                                             const ThreadTile<Tile>& thread, const Output& output,
                                             Address&& address) {
  __syncthreads();  // the sums take the place of the last stage
  constexpr TileOutput<Stores::packs, NoEpilogue<T>> kAll{Tile::BM, Tile::BN, {}};
  store_tile<Tile>(sum, thread, kAll, [&](int row) { return shared[thread.group][row]; });
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < Tile::BM * Tile::BN; i += Tile::kThreads) {
    const int row = i / Tile::BN;
    const int column = i % Tile::BN;
    if (row < output.rows && column < output.columns) {
      T total = shared[0][row][column];
#pragma unroll
      for (int g = 1; g < Tile::GROUPS; ++g) {
        total += shared[g][row][column];
      }
      T* to = address(row) + column;
      *to = output.epilogue.apply(total, output.epilogue.at(column), column, to);
    }
  }
}

}  // namespace cks::kernels::cuda
