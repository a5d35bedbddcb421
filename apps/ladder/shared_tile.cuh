#pragma once
#include "cks/kernels/common/launch.cuh"

namespace cks::ladder {

/// Rung 3. A block of 16 x 16 threads computes 16 x 16 elements. It brings 16 terms of its rows and
/// of its columns into shared memory, where each number is read 16 times: so it is fetched from far
/// away, and its address computed, once for 16 products.
template <class Pass>
__global__ void shared_tile_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  constexpr int kSide = 16;
  __shared__ float left[kSide][kSide + 1];  // [row][term]; one more, so that no bank is asked twice
  __shared__ float right[kSide][kSide + 1];  // [column][term]
  const int term = static_cast<int>(threadIdx.x);
  const int line = static_cast<int>(threadIdx.y);
  const int m0 = static_cast<int>(blockIdx.x) * kSide;
  const int n0 = static_cast<int>(blockIdx.y) * kSide;
  float sum = 0;
  for (int k0 = 0; k0 < pass.terms(); k0 += kSide) {
    const bool has_term = k0 + term < pass.terms();
    left[line][term] = has_term && m0 + line < pass.rows() ? pass.left(m0 + line, k0 + term) : 0;
    right[line][term] =
        has_term && n0 + line < pass.columns() ? pass.right(k0 + term, n0 + line) : 0;
    __syncthreads();
    for (int k = 0; k < kSide; ++k) {
      sum += left[line][k] * right[term][k];
    }
    __syncthreads();
  }
  if (m0 + line < pass.rows() && n0 + term < pass.columns()) {
    result[(m0 + line) * pass.columns() + n0 + term] = sum;
  }
}

}  // namespace cks::ladder
