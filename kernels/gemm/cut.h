#pragma once
#include <algorithm>
#include <cstdint>

#include "cks/kernels/common/math.h"
#include "cks/kernels/gemm/gemm.h"

namespace cks::kernels::cuda {

/// How a GPU cuts a product into blocks: by the problem, never by the device.
struct GemmCut {
  std::int64_t tile;  // rows and columns
  std::int64_t slices, slice;
};

inline GemmCut gemm_cut(const GemmProblem& p) {
  constexpr std::int64_t kWantedBlocks = 132;  // about one a multiprocessor of a large GPU
  constexpr std::int64_t kMinSlice = 512;      // of K
  constexpr std::int64_t kMaxSlices = 64;
  constexpr std::int64_t kSliceStep = 128;  // whole stages of every tile
  const auto tiles = [&](std::int64_t tile) { return ceil_div(p.M, tile) * ceil_div(p.N, tile); };
  const std::int64_t most_slices = std::clamp<std::int64_t>(p.K / kMinSlice, 1, kMaxSlices);
  GemmCut cut{32, 1, 0};
  const std::int64_t largest = p.dtype == DType::float64 ? 64 : 128;
  for (std::int64_t tile = largest; tile > 32; tile /= 2) {
    if (tiles(tile) * most_slices >= kWantedBlocks && p.M > tile / 2 && p.N > tile / 2) {
      cut.tile = tile;
      break;
    }
  }
  const std::int64_t count = std::max<std::int64_t>(1, tiles(cut.tile));
  if (count < kWantedBlocks) {
    cut.slices = std::min(most_slices, ceil_div(2 * kWantedBlocks, count));
  }
  const std::int64_t slice = std::max<std::int64_t>(1, ceil_div(p.K, cut.slices));
  cut.slice = ceil_div(slice, kSliceStep) * kSliceStep;
  cut.slices = std::max<std::int64_t>(1, ceil_div(p.K, cut.slice));
  return cut;
}

/// What the partial sums of several slices take.
inline std::size_t bytes_of_slices(const GemmProblem& p, const GemmCut& cut) {
  return cut.slices == 1 ? 0 : static_cast<std::size_t>(cut.slices * p.M * p.N) * size_of(p.dtype);
}

}  // namespace cks::kernels::cuda
