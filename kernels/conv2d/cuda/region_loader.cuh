#pragma once
#include "cks/kernels/conv2d/cuda/region.cuh"
#include "cks/kernels/mma/stage.cuh"

/// The operands of a region's product: positions by (tap, channel), the filter by the same.
namespace cks::kernels::cuda {

/// Walks over the region's taps and channels, channels fastest. Where the taps of a row lie side by
/// side in memory, they count as one tap of more channels.
struct TapCursor {
  const Region& region;
  int channels, column_taps;
  int row_tap = 0, column_tap = 0, channel = 0;
  std::int64_t source_shift = 0, filter_shift = 0;  // elements from the first tap

  __device__ __forceinline__ explicit TapCursor(const Region& of)
      : region(of),
        channels(of.p.merge_columns ? of.columns.taps * of.p.source_channels
                                    : of.p.source_channels),
        column_taps(of.p.merge_columns ? 1 : of.columns.taps) {
    if (channels == 0 || column_taps == 0) {
      row_tap = region.rows.taps;
    }
  }

  __device__ __forceinline__ bool more() const { return row_tap < region.rows.taps; }

  __device__ __forceinline__ void advance() {
    const Correlation& p = region.p;
    channel += kGroupDepth;
    if (channel >= channels) {
      channel = 0;
      source_shift += region.columns.tap_step * p.source_pixel;
      filter_shift += region.columns.filter_step * p.filter_column;
      if (++column_tap == column_taps) {
        column_tap = 0;
        ++row_tap;
        source_shift = static_cast<std::int64_t>(row_tap) * region.rows.tap_step * p.source_row;
        filter_shift = static_cast<std::int64_t>(row_tap) * region.rows.filter_step * p.filter_row;
      }
    }
  }
};

/// A: the source's channels at the positions of the tile, whose offsets lie in shared memory.
template <class Tile, int V>
struct SourceLoader : StageLoader<Tile, float, Tile::BM, V, true> {
  using Stage = StageLoader<Tile, float, Tile::BM, V, true>;

  const float* source[Stage::kLoads];

  __device__ __forceinline__ SourceLoader(const float* data, const std::int64_t* offset_of_row) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      source[i] = data + offset_of_row[Stage::row(i)] + Stage::k(i);
    }
  }

  __device__ __forceinline__ void load(const TapCursor& at) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      this->packs[i] = load_constant_pack<V>(source[i] + at.source_shift + at.channel,
                                             at.channel + Stage::k(i) < at.channels);
    }
  }
};

/// B: the filter of some target channels, from channel0 of the group on. It lies along the source's
/// channels (forward) or along the target's (backward_data).
template <class Tile, int V, bool kAlongSource>
struct FilterLoader : StageLoader<Tile, float, Tile::BN, V, kAlongSource> {
  using Stage = StageLoader<Tile, float, Tile::BN, V, kAlongSource>;

  const float* filter[Stage::kLoads];
  std::int64_t step;  // elements from one source channel to the next
  int existing;       // target channels, from channel0 on

  __device__ __forceinline__ FilterLoader(const Correlation& p, const float* first, int channel0)
      : step(kAlongSource ? 1 : p.filter_source), existing(p.target_channels - channel0) {
    const std::int64_t row_step = kAlongSource ? p.filter_target : 1;
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      filter[i] = first + (channel0 + Stage::row(i)) * row_step + Stage::k(i) * step;
    }
  }

  __device__ __forceinline__ void load(const TapCursor& at) {
#pragma unroll
    for (int i = 0; i < Stage::kLoads; ++i) {
      this->packs[i] =
          load_constant_pack<V>(filter[i] + at.filter_shift + at.channel * step,
                                Stage::row(i) < existing && at.channel + Stage::k(i) < at.channels);
    }
  }
};

}  // namespace cks::kernels::cuda
