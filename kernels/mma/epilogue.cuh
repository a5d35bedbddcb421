#pragma once
#include <cstdint>

#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/mma/register_tile.cuh"

/// From a thread's sums to the product in memory.
namespace cks::kernels::cuda {

/// What is done to finished sums before they are stored. Columns are channels, from `first` on;
/// `base` is the result's first element.
template <class T>
struct ChannelEpilogue {
  const TypedEpilogue<T>& epilogue;
  const T* base;
  std::int64_t first;

  using Column = T;
  /// What a column needs, to be loaded once a thread.
  __device__ __forceinline__ Column at(std::int64_t column) const {
    return epilogue.bias == nullptr ? T{0} : __ldg(epilogue.bias + first + column);
  }
  /// The value that is stored at `to`.
  __device__ __forceinline__ T apply(T sum, Column bias, std::int64_t column, const T* to) const {
    const T value = sum + bias;
    return epilogue.is_plain ? value : epilogue.finish(value, first + column, to - base);
  }

  /// The same for all sums of a thread, step by step: asked for once, each step is short code.
  /// column_of(j) is where column j of `sum` stands, of which `columns` exist; address_of(i) is
  /// where row i begins in memory, null if it does not exist.
  template <int R, int C, class ColumnOf, class AddressOf>
  __device__ __forceinline__ void apply_to(T (&sum)[R][C], int columns, ColumnOf&& column_of,
                                           AddressOf&& address_of) const {
    const auto for_columns = [&](const T* values, T outside, auto&& change) {
#pragma unroll
      for (int j = 0; j < C; ++j) {
        const int column = column_of(j);
        const T value = column < columns ? __ldg(values + first + column) : outside;
#pragma unroll
        for (int i = 0; i < R; ++i) {
          change(sum[i][j], value);
        }
      }
    };
    const auto add = [](T& to, T value) { to += value; };
    if (epilogue.bias != nullptr) {
      for_columns(epilogue.bias, T{0}, add);
    }
    if (epilogue.is_plain) {
      return;
    }
    if (epilogue.scale != nullptr) {
      for_columns(epilogue.scale, T{1}, [](T& to, T value) { to *= value; });
    }
    if (epilogue.shift != nullptr) {
      for_columns(epilogue.shift, T{0}, add);
    }
    for_elements(sum, columns, column_of, address_of);
  }

 private:
  /// Residual and activation.
  template <int R, int C, class ColumnOf, class AddressOf>
  __device__ __forceinline__ void for_elements(T (&sum)[R][C], int columns, ColumnOf&& column_of,
                                               AddressOf&& address_of) const {
#pragma unroll
    for (int i = 0; i < R; ++i) {
      const T* row = epilogue.residual == nullptr ? nullptr : address_of(i);
      const T* residual = row == nullptr ? nullptr : epilogue.residual + (row - base);
#pragma unroll
      for (int j = 0; j < C; ++j) {
        if (residual != nullptr && column_of(j) < columns) {
          sum[i][j] += __ldg(residual + column_of(j));
        }
        sum[i][j] = activated(sum[i][j], epilogue.slope);
      }
    }
  }
};

/// Sums are stored as they are.
template <class T>
struct NoEpilogue {
  template <class... Unused>
  __device__ __forceinline__ void apply_to(const Unused&... /*unused*/) const {}
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
  int rows, columns;
  Epilogue epilogue;
  bool is_aligned = true;

  /// Stores V neighbouring values, from `column` on, of a row that begins at `row`.
  template <int V, class T>
  __device__ __forceinline__ void store(T* row, int column, const T* values) const {
    T* to = row + column;
    if (kStores != Stores::elements && is_aligned && column + V <= columns) {
      Pack<T, V> pack;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        pack[v] = values[v];
      }
      store_pack<V>(to, pack);
    } else if constexpr (kStores != Stores::packs) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (column + v < columns) {
          to[v] = values[v];
        }
      }
    }
  }
};

/// Applies the epilogue to the thread's sums and stores them; address(row) is where a row of the
/// tile begins.
template <class Tile, class T, class Output, class Address>
__device__ __forceinline__ void store_tile(T (&sum)[Tile::TM][Tile::TN],
                                           const ThreadTile<Tile>& thread, const Output& output,
                                           Address&& address) {
  constexpr int V = kPackSize<T>;
  output.epilogue.apply_to(
      sum, output.columns, [&](int j) { return thread.column(j); },
      [&](int i) -> const T* {
        return thread.row(i) < output.rows ? address(thread.row(i)) : nullptr;
      });
#pragma unroll
  for (int i = 0; i < Tile::TM; ++i) {
    const int row = thread.row(i);
    if (row < output.rows) {
      T* to = address(row);
#pragma unroll
      for (int j = 0; j < Tile::TN; j += V) {
        output.template store<V>(to, thread.column(j), sum[i] + j);
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
                                             T (&sum)[Tile::TM][Tile::TN],
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
