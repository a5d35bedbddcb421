#pragma once
#include "cks/kernels/common/launch.cuh"

namespace cks::ladder {

/// Rung 2. Two lines are exchanged: neighbouring threads have neighbouring *columns*, which are
/// channels. A warp now reads one pixel for all its threads, and writes 32 neighbours at once.
template <class Pass>
__global__ void coalesced_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= pass.rows() * pass.columns()) {
    return;
  }
  const int m = i / pass.columns();
  const int n = i % pass.columns();
  float sum = 0;
  pass.each_product(m, n, [&](float left, float right) { sum += left * right; });
  result[m * pass.columns() + n] = sum;
}

}  // namespace cks::ladder
