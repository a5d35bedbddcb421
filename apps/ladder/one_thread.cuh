#pragma once
#include "cks/kernels/common/launch.cuh"

namespace cks::ladder {

/// Rung 1. One thread computes one element by the definition; neighbouring threads have
/// neighbouring rows. At each moment the 32 threads of a warp read the same channel of 32 different
/// pixels, floats that lie IC apart: 32 cache lines for 32 numbers.
template <class Pass>
__global__ void one_thread_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= pass.rows() * pass.columns()) {
    return;
  }
  const int m = i % pass.rows();
  const int n = i / pass.rows();
  float sum = 0;
  pass.each_product(m, n, [&](float left, float right) { sum += left * right; });
  result[m * pass.columns() + n] = sum;
}

}  // namespace cks::ladder
