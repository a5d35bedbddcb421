#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/taps.h"

/// What the CPU selector and the CPU kernels agree on: widths of register tiles, blocks of
/// channels, and the layout of the workspace. Pure functions of problem and vector width.
namespace cks::kernels::CKS_CPU {

constexpr std::size_t align_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Cuts channels into blocks of vectors: each is two vectors wide; of what remains, up to half a
/// vector goes to a half vector, up to a vector to one, up to one and a half to both.
struct ChannelBlocks {
  std::int64_t channels, full, half;

  ChannelBlocks(std::int64_t channel_count, int simd_bytes, DType dtype)
      : channels(channel_count),
        full(simd_bytes / static_cast<std::int64_t>(size_of(dtype))),
        half(std::max(16, simd_bytes / 2) / static_cast<std::int64_t>(size_of(dtype))) {}

  std::int64_t width_for(std::int64_t remaining) const {
    if (remaining > full + (half < full ? half : 0)) {
      return 2 * full;
    }
    return remaining > half ? full : half;
  }
  /// First channel of a block.
  std::int64_t begin(std::int64_t block) const {
    const std::int64_t whole = channels / (2 * full);
    return block <= whole ? block * 2 * full : whole * 2 * full + full;
  }
  std::int64_t width(std::int64_t block) const { return width_for(channels - begin(block)); }
  std::int64_t count() const {
    const std::int64_t whole = channels / (2 * full);
    const std::int64_t rest = channels - whole * 2 * full;
    return whole + (rest > 0 ? 1 : 0) + (rest > width_for(std::max<std::int64_t>(rest, 1)) ? 1 : 0);
  }
  /// All channels of all blocks, those that fill vectors up included.
  std::int64_t padded() const { return begin(count() - 1) + width(count() - 1); }
};

/// One channel a group on both sides: vectors run over groups instead of over a group's channels.
inline bool is_depthwise(const Conv2dProblem& p) { return p.G > 1 && p.IC == p.G && p.OC == p.G; }

/// Most rows of a tile whose rows are `width` channels. Two vectors a row: the accumulators fill
/// half of 32 registers, or most of 16. A gradient tile of one vector a row has room for more of
/// them. A correlation tile needs a pointer a row and takes more only where half vectors would
/// leave the multipliers waiting for the previous sum.
constexpr std::int64_t tile_rows(Conv2dPass pass, int simd_bytes, std::int64_t width,
                                 std::int64_t full) {
  const bool more = pass == Conv2dPass::backward_filter ? width <= full : width < full;
  return (simd_bytes == 64 ? 8 : 6) + (more ? 4 : 0);
}

/// Workspace of ConvV2 and KS-deconv: the packed filter, the runs of both axes and, for KS-deconv,
/// the taps of the slots.
struct CorrelationLayout {
  std::int64_t groups;           // 1 if depthwise
  std::int64_t inner_channels;   // summed over, per group
  std::int64_t vector_channels;  // results, per group
  std::size_t panel_bytes, run_bytes, slot_bytes;

  CorrelationLayout(Conv2dPass pass, const Conv2dProblem& p, int simd_bytes) {
    const bool forward = pass == Conv2dPass::forward;
    const bool depthwise = is_depthwise(p);
    groups = depthwise ? 1 : p.G;
    inner_channels = depthwise ? 1 : (forward ? p.IC : p.OC) / p.G;
    vector_channels = (forward ? p.OC : p.IC) / groups;
    const std::int64_t channels = ChannelBlocks(vector_channels, simd_bytes, p.w_type).padded();
    panel_bytes =
        align_up(static_cast<std::size_t>(groups * p.FH * p.FW * inner_channels * channels) *
                 size_of(p.w_type));
    run_bytes =
        align_up(static_cast<std::size_t>(forward ? p.OH + p.OW : p.IH + p.IW) * sizeof(TapRun));
    slot_bytes =
        align_up(static_cast<std::size_t>(forward ? 0 : p.FH + p.FW) * sizeof(std::int64_t));
  }
  std::size_t bytes() const { return panel_bytes + run_bytes + slot_bytes; }
};

/// How Sk-dilated maps dW to register tiles, and how it splits the sum over positions.
///
///   over inputs    a tile is output channels x input channels of one filter row (all its
///                  taps at once where they are contiguous in X, else one tap);
///   over outputs   a tile is filter elements (fh,fw,ic) x output channels, for first layers,
///                  whose filter rows are too short to fill vectors;
///   over groups    a tile is taps x groups, of depthwise filters.
struct FilterGradientLayout {
  enum class VectorsOver : std::uint8_t { inputs, outputs, groups };
  VectorsOver vectors_over = VectorsOver::inputs;
  bool merged = false;               // over inputs: the taps of a filter row are contiguous in X
  std::int64_t groups = 1;           // 1 if depthwise
  std::int64_t vector_channels = 1;  // of the longest tile row, per group
  std::int64_t units = 1;  // output tiles are dealt out in units: (group, row or block of channels)
  std::int64_t unit_rows = 1;   // over inputs: output channels of a unit
  std::int64_t unit_parts = 1;  // into which the units are dealt: a block of work is one of a slice
  std::int64_t slices = 1;      // of the sum over positions, each with its own partial sums
  std::int64_t elements = 0;    // of dW
  std::size_t partial_bytes = 0, run_bytes = 0;

  /// Whether the sums need no second stage: one slice, laid out as dW.
  bool direct() const { return slices == 1 && vectors_over == VectorsOver::inputs; }
  std::size_t bytes() const { return partial_bytes + run_bytes; }
};

FilterGradientLayout filter_gradient_layout(const Conv2dProblem& problem, int simd_bytes);

}  // namespace cks::kernels::CKS_CPU
