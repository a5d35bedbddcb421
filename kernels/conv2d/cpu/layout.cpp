#include "cks/kernels/conv2d/cpu/layout.h"

#include <limits>

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kMostBlocks = 32;                    // balances 16 threads
constexpr std::int64_t kLeastWork = std::int64_t{1} << 18;  // multiply-adds of a slice
constexpr std::int64_t kLeastRepeats = 64;                  // positions of a slice
constexpr std::int64_t kMostPartialBytes = std::int64_t{64} << 20;
constexpr std::int64_t kMostPartBytes = std::int64_t{256} << 10;

/// The share of vector elements that hold channels.
double fill_of(std::int64_t channels, int simd_bytes, DType dtype) {
  const ChannelBlocks blocks(channels, simd_bytes, dtype);
  return static_cast<double>(channels) / static_cast<double>(blocks.padded());
}

void choose_vectors(const Conv2dProblem& p, int simd_bytes, FilterGradientLayout& layout) {
  using VectorsOver = FilterGradientLayout::VectorsOver;
  if (is_depthwise(p)) {
    layout.vectors_over = VectorsOver::groups;
    layout.vector_channels = p.G;
    layout.units = ChannelBlocks(p.G, simd_bytes, p.x_type).count();
    return;
  }
  layout.groups = p.G;
  const std::int64_t inner = p.IC / p.G;
  const std::int64_t outer = p.OC / p.G;
  const std::int64_t two_vectors = 2 * ChannelBlocks(1, simd_bytes, p.x_type).full;
  layout.merged = p.FW > 1 && p.dw == 1 && p.G == 1 && p.x_pitch == p.IC && inner < two_vectors;
  layout.vector_channels = layout.merged ? p.FW * inner : inner;
  layout.unit_rows = outer >= 64 ? 16 : 32;
  layout.units = p.G * ceil_div(outer, layout.unit_rows);
  constexpr double kClearlyBetter = 1.15;  // the second layout sums over shorter runs
  if (fill_of(outer, simd_bytes, p.x_type) >
      kClearlyBetter * fill_of(layout.vector_channels, simd_bytes, p.x_type)) {
    layout.vectors_over = VectorsOver::outputs;
    layout.merged = false;
    layout.vector_channels = outer;
    layout.unit_rows = 1;
    layout.units = p.G * ChannelBlocks(outer, simd_bytes, p.x_type).count();
  }
}

/// Of the ways to cut the work into blocks, the one that moves the fewest elements: a block reads
/// its slice of X, or of its group's channels, and partial sums are written once and read once. The
/// sums of a part stay in a second-level cache.
void choose_slices(const Conv2dProblem& p, FilterGradientLayout& layout) {
  const auto element_bytes = static_cast<std::int64_t>(size_of(p.x_type));
  const std::int64_t work = exact_multiply_adds(p);
  const std::int64_t blocks = std::clamp<std::int64_t>(work / kLeastWork, 1, kMostBlocks);
  const std::int64_t most_slices = std::max<std::int64_t>(
      1, std::min({blocks, work / (layout.elements * kLeastRepeats), p.N * p.OH,
                   kMostPartialBytes / (layout.elements * element_bytes)}));
  double fewest = std::numeric_limits<double>::infinity();
  for (std::int64_t parts = layout.units; parts >= 1; parts = parts > 1 ? ceil_div(parts, 2) : 0) {
    const std::int64_t slices = std::min(most_slices, ceil_div(blocks, parts));
    const bool enough = slices * parts >= std::min(blocks, most_slices * layout.units);
    const bool fits = layout.elements / parts * element_bytes <= kMostPartBytes;
    if (parts < layout.units && !(enough && fits)) {
      break;
    }
    const double moved =
        static_cast<double>(p.N * p.IH * p.IW) *
            static_cast<double>(std::max(p.IC, parts * p.IC / p.G)) +
        (slices > 1 ? 2.0 * static_cast<double>(slices) * static_cast<double>(layout.elements) : 0);
    if (moved < fewest) {
      fewest = moved;
      layout.unit_parts = parts;
      layout.slices = slices;
    }
  }
}

}  // namespace

FilterGradientLayout filter_gradient_layout(const Conv2dProblem& p, int simd_bytes) {
  FilterGradientLayout layout;
  layout.elements = p.OC * p.FH * p.FW * (p.IC / p.G);
  choose_vectors(p, simd_bytes, layout);
  choose_slices(p, layout);
  layout.run_bytes = align_up(static_cast<std::size_t>(p.OH + p.OW) * sizeof(TapRun));
  layout.partial_bytes =
      layout.direct()
          ? 0
          : align_up(static_cast<std::size_t>(layout.slices * layout.elements) * size_of(p.x_type));
  return layout;
}

}  // namespace cks::kernels::CKS_CPU
