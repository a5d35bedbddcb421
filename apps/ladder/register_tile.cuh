#pragma once
#include "cks/kernels/common/launch.cuh"

namespace cks::ladder {

inline constexpr int kTile = 64;   // rows and columns of a block
inline constexpr int kTerms = 16;  // that lie in shared memory at a time
inline constexpr int kPart = 4;    // rows and columns of a thread

/// 16 terms of 64 rows, or of 64 columns.
using TileTerms = float[kTerms][kTile + 1];

/// sums += the product of what lies in shared memory. A thread reads 8 numbers for 16 products.
__device__ inline void multiply_tile(const TileTerms& left, const TileTerms& right,
                                     float (&sums)[kPart][kPart]) {
  const int row = static_cast<int>(threadIdx.x) / 16 * kPart;
  const int column = static_cast<int>(threadIdx.x) % 16 * kPart;
  for (int k = 0; k < kTerms; ++k) {
    float a[kPart], b[kPart];
    for (int i = 0; i < kPart; ++i) {
      a[i] = left[k][row + i];
      b[i] = right[k][column + i];
    }
    for (int i = 0; i < kPart; ++i) {
      for (int j = 0; j < kPart; ++j) {
        sums[i][j] += a[i] * b[j];
      }
    }
  }
}

/// Calls store(row, column, sum) for the elements of this thread.
template <class Store>
__device__ void each_sum(const float (&sums)[kPart][kPart], Store store) {
  for (int i = 0; i < kPart; ++i) {
    for (int j = 0; j < kPart; ++j) {
      store(static_cast<int>(threadIdx.x) / 16 * kPart + i,
            static_cast<int>(threadIdx.x) % 16 * kPart + j, sums[i][j]);
    }
  }
}

/// Rung 4. 256 threads compute 64 x 64 elements, each 4 x 4 of them in registers: a number of
/// shared memory serves 4 products, and one from far away 64.
template <class Pass>
__global__ void __launch_bounds__(256) register_tile_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  __shared__ TileTerms left, right;
  const int m0 = static_cast<int>(blockIdx.x) * kTile;
  const int n0 = static_cast<int>(blockIdx.y) * kTile;
  float sums[kPart][kPart] = {};
  for (int k0 = 0; k0 < pass.terms(); k0 += kTerms) {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * kTerms; i += 256) {
      const int term = i % kTerms;
      const int line = i / kTerms;
      const bool has_term = k0 + term < pass.terms();
      left[term][line] = has_term && m0 + line < pass.rows() ? pass.left(m0 + line, k0 + term) : 0;
      right[term][line] =
          has_term && n0 + line < pass.columns() ? pass.right(k0 + term, n0 + line) : 0;
    }
    __syncthreads();
    multiply_tile(left, right, sums);
    __syncthreads();
  }
  each_sum(sums, [&](int row, int column, float sum) {
    if (m0 + row < pass.rows() && n0 + column < pass.columns()) {
      result[(m0 + row) * pass.columns() + n0 + column] = sum;
    }
  });
}

}  // namespace cks::ladder
