#pragma once
#include "cks/kernels/conv2d/cuda/regions.h"

/// What a block of a correlation works on: a tile of the positions of one pair of runs, which all
/// meet the same taps.
namespace cks::kernels::cuda {

struct Region {
  const Correlation& p;
  const Run& rows;
  const Run& columns;
  int tile;  // of the pair's
};

/// The pair that has a tile of the grid. For all threads of a block at once.
__device__ __forceinline__ Region region_of_tile(const Correlation& p, int tile) {
  __shared__ int my_pair;
  for (int i = static_cast<int>(threadIdx.x); i < p.pairs; i += static_cast<int>(blockDim.x)) {
    if (tile >= p.pair[i].first_tile && tile < p.pair[i + 1].first_tile) {
      my_pair = i;
    }
  }
  __syncthreads();
  const Pair& pair = p.pair[my_pair];
  return {p, p.rows[pair.row], p.columns[pair.column], tile - pair.first_tile};
}

/// The tile's first position and the number of the pair's, in all images.
struct Positions {
  std::int64_t first, count;

  __device__ __forceinline__ Positions(const Region& region, int tile_positions)
      : first(static_cast<std::int64_t>(region.tile) * tile_positions),
        count(static_cast<std::int64_t>(region.p.images) * region.rows.count *
              region.columns.count) {}
};

/// Elements from the beginning of source and target.
struct PositionOffsets {
  std::int64_t source, target;
};

/// Where position `wanted` of the region lies, in a group's channels. Beyond the end: where the
/// last one does, which may be read again and is not stored.
__device__ __forceinline__ PositionOffsets offsets_of(const Region& region, std::int64_t wanted,
                                                      std::int64_t count, int group) {
  const Correlation& p = region.p;
  const Run& rows = region.rows;
  const Run& columns = region.columns;
  const std::int64_t position = wanted < count ? wanted : count - 1;
  const std::int64_t per_image = rows.count * columns.count;
  const int n = static_cast<int>(position / per_image);
  const int rest = static_cast<int>(position - n * per_image);
  const int r = rest / columns.count;
  const int c = rest - r * columns.count;
  return {n * p.source_image + (rows.source + r * rows.source_step) * p.source_row +
              (columns.source + c * columns.source_step) * p.source_pixel +
              static_cast<std::int64_t>(group) * p.source_channels,
          n * p.target_image + (rows.target + r * rows.target_step) * p.target_row +
              (columns.target + c * columns.target_step) * p.target_pixel +
              static_cast<std::int64_t>(group) * p.target_channels};
}

/// The group's filter from the region's first tap on.
__device__ __forceinline__ const float* filter_of(const Region& region, int group) {
  const Correlation& p = region.p;
  return p.filter + group * p.filter_group + region.rows.filter_tap * p.filter_row +
         region.columns.filter_tap * p.filter_column;
}

}  // namespace cks::kernels::cuda
