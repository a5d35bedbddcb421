#pragma once
#include <mma.h>

#include "apps/ladder/zeros_skipped.cuh"

namespace cks::ladder {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800  // older tensor cores have no tf32
template <class Fragment>
__device__ void round_to_tf32(Fragment& fragment) {
  for (int i = 0; i < fragment.num_elements; ++i) {
    fragment.x[i] = nvcuda::wmma::__float_to_tf32(fragment.x[i]);
  }
}

/// Rung 6. As rung 5, but the products are those of tensor cores: four warps, each with 2 x 2 tiles
/// of 16 x 16, of which an instruction adds 8 terms. Operands are rounded to tf32, sums are float.
template <class Pass>
__global__ void __launch_bounds__(128) tensor_cores_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  namespace wmma = nvcuda::wmma;
  using Left = wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::col_major>;
  using Right = wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::row_major>;
  using Sums = wmma::fragment<wmma::accumulator, 16, 16, 8, float>;
  constexpr int kPitch = kTile + 4;  // a multiple of 16 bytes, which the instructions ask for
  __shared__ float left[kTerms][kPitch], right[kTerms][kPitch], sums[kTile][kPitch];
  const int place = static_cast<int>(blockIdx.x);
  const int m0 = static_cast<int>(blockIdx.y) * kTile;
  const int n0 = static_cast<int>(blockIdx.z) * kTile;
  const int warp_row = static_cast<int>(threadIdx.x) / 64 * 32;
  const int warp_column = static_cast<int>(threadIdx.x) / 32 % 2 * 32;
  Sums products[2][2];
  for (auto& row : products) {
    for (Sums& product : row) {
      wmma::fill_fragment(product, 0.0F);
    }
  }
  each_terms<128>(pass, place, m0, n0, left, right, [&] {
    for (int k = 0; k < kTerms; k += 8) {
      Right b[2];
      for (int j = 0; j < 2; ++j) {
        wmma::load_matrix_sync(b[j], &right[k][warp_column + 16 * j], kPitch);
        round_to_tf32(b[j]);
      }
      for (int row = 0; row < 2; ++row) {
        Left a;
        wmma::load_matrix_sync(a, &left[k][warp_row + 16 * row], kPitch);
        round_to_tf32(a);
        wmma::mma_sync(products[row][0], a, b[0], products[row][0]);
        wmma::mma_sync(products[row][1], a, b[1], products[row][1]);
      }
    }
  });
  for (int row = 0; row < 2; ++row) {
    for (int j = 0; j < 2; ++j) {
      wmma::store_matrix_sync(&sums[warp_row + 16 * row][warp_column + 16 * j], products[row][j],
                              kPitch, wmma::mem_row_major);
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile; i += 128) {
    const int m = m0 + i / kTile;
    const int n = n0 + i % kTile;
    if (m < pass.place_rows() && n < pass.place_columns()) {
      result[target_of(pass, place, m, n)] = sums[i / kTile][i % kTile];
    }
  }
}

#else
template <class Pass>
__global__ void tensor_cores_kernel(Pass, float*) {
  kernels::cuda::begin_kernel();
}
#endif

}  // namespace cks::ladder
