#pragma once
#include "apps/ladder/register_tile.cuh"

namespace cks::ladder {

/// Brings `count` terms of `lines` rows, or columns, from `source` into shared memory, neighbouring
/// threads those that lie beside each other.
template <int kThreads, int kPitch>
__device__ void load_terms(const float* source, int line_step, int term_step, int lines, int count,
                           float (&terms)[kTerms][kPitch]) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kTerms; i += kThreads) {
    const int term = term_step == 1 ? i % kTerms : i / kTile;
    const int line = term_step == 1 ? i / kTerms : i % kTile;
    terms[term][line] =
        term < count && line < lines ? source[line * line_step + term * term_step] : 0;
  }
}

/// Brings the terms of a block's tile, step after step: calls multiply() when kTerms of them are in
/// shared memory.
template <int kThreads, int kPitch, class Pass, class Multiply>
__device__ void each_terms(const Pass& pass, int place, int m0, int n0,
                           float (&left)[kTerms][kPitch], float (&right)[kTerms][kPitch],
                           Multiply multiply) {
  const int steps = pass.steps(place);
  for (int i = 0; i < steps; ++i) {
    const Step step = pass.step(place, i);
    for (int k0 = 0; k0 < step.terms; k0 += kTerms) {
      load_terms<kThreads>(step.left + m0 * step.left_row + k0 * step.left_term, step.left_row,
                           step.left_term, pass.place_rows() - m0, step.terms - k0, left);
      load_terms<kThreads>(step.right + n0 * step.right_column + k0 * step.right_term,
                           step.right_column, step.right_term, pass.place_columns() - n0,
                           step.terms - k0, right);
      __syncthreads();
      multiply();
      __syncthreads();
    }
  }
}

/// Rung 5. The tile of rung 4, but its rows are images (or output channels) at one place: all of
/// them have the same live taps, so the block walks over those alone. Nothing is tested inside, and
/// the addresses need no division any more.
template <class Pass>
__global__ void __launch_bounds__(256) zeros_skipped_kernel(Pass pass, float* result) {
  kernels::cuda::begin_kernel();
  __shared__ TileTerms left, right;
  const int place = static_cast<int>(blockIdx.x);
  const int m0 = static_cast<int>(blockIdx.y) * kTile;
  const int n0 = static_cast<int>(blockIdx.z) * kTile;
  float sums[kPart][kPart] = {};
  each_terms<256>(pass, place, m0, n0, left, right, [&] { multiply_tile(left, right, sums); });
  each_sum(sums, [&](int row, int column, float sum) {
    if (m0 + row < pass.place_rows() && n0 + column < pass.place_columns()) {
      result[target_of(pass, place, m0 + row, n0 + column)] = sum;
    }
  });
}

}  // namespace cks::ladder
