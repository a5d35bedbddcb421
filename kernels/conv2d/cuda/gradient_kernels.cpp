#include <cmath>

#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/regions.h"
#include "cks/kernels/conv2d/cuda/tiles.h"
#include "cks/kernels/conv2d/taps.h"

// What the kernels `tiled_taps` and `merged_taps` plan: Sk-dilated, a product for each tap, or one
// for all taps and input channels together.
namespace cks::kernels::cuda {
namespace {

constexpr std::int64_t kGrid = 65535;
constexpr std::int64_t kMostSplitK = 256;

/// Positions that the products sum over: of all taps together, and of the tap that has most.
struct Depth {
  double all = 0.0;
  double deepest = 0.0;
};

Depth depth_of(const Conv2dProblem& p, bool merged) {
  if (merged) {
    const auto positions = static_cast<double>(p.N * p.OH * p.OW);
    return {positions, positions};
  }
  Depth depth;
  for (std::int64_t fh = 0; fh < p.FH; ++fh) {
    for (std::int64_t fw = 0; fw < p.FW; ++fw) {
      const auto positions = static_cast<double>(p.N * tap_outputs(row_axis(p), fh).size() *
                                                 tap_outputs(column_axis(p), fw).size());
      depth.all += positions;
      depth.deepest = std::max(depth.deepest, positions);
    }
  }
  return depth;
}

Conv2dCandidate candidate_of(const Conv2dRequest& request, const RatedTile& tile, bool merged,
                             std::int64_t split_k) {
  const Conv2dProblem& p = request.problem;
  const std::int64_t m = p.OC / p.G;
  const std::int64_t n = p.IC / p.G * (merged ? p.FH * p.FW : 1);
  const double area = static_cast<double>(ceil_div(m, tile.size.rows) * tile.size.rows) *
                      static_cast<double>(ceil_div(n, tile.size.columns) * tile.size.columns);
  const Depth depth = depth_of(p, merged);
  const double slice_depth =
      std::ceil(depth.deepest / static_cast<double>(split_k) / 16.0) * 16.0 + 32;
  Conv2dCandidate candidate{
      {.tile = tile.size,
       .granule = merged ? p.N * p.OH * p.OW : 1,
       .reason = merged ? "taps and input channels merged, zeros of the padding multiplied"
                        : "one product a tap, positions trimmed"},
      cost_of(area * depth.all * static_cast<double>(p.G),
              static_cast<double>(tile.size.rows * tile.size.columns) * slice_depth, tile,
              multiprocessors_of(request))};
  add_split_k(candidate, p, split_k, multiprocessors_of(request));
  return candidate;
}

bool takes(const Conv2dProblem& p, bool merged) {
  return has_type(p, DType::float32) && has_narrow_extents(p) && (!merged || p.G == 1);
}

/// Of each tile the best way to split the sums.
template <const auto& kTiles, bool kMerged>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const std::int64_t positions = p.N * p.OH * p.OW;
  const bool pays =
      !kMerged || (p.IC <= 16 && positions >= 2 && positions < (std::int64_t{1} << 31));
  if (!takes(p, kMerged) || !pays) {
    return {};
  }
  const std::int64_t fewest =
      std::clamp<std::int64_t>(ceil_div(positions, kLongestSum), 1, kMostSplitK);
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kTiles) {
    std::vector<Conv2dCandidate> of_tile;
    for (std::int64_t split_k = fewest; split_k <= kMostSplitK; split_k *= 2) {
      const bool too_fine = split_k > fewest && positions / split_k < 64;
      if (too_fine || split_k * p.G > kGrid || p.FH * p.FW > kGrid) {
        break;
      }
      of_tile.push_back(candidate_of(request, tile, kMerged, split_k));
    }
    add_cheapest(found, std::move(of_tile));
  }
  return found;
}

/// Whether the slices of the plan have room, too, and 32 bits count the positions of one.
template <const auto& kTiles, bool kMerged>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  constexpr auto kMostPositions = std::int64_t{1} << 30;
  return takes(p, kMerged) && has_tile(kTiles, plan.tile) && has_room_for_slices(plan, p) &&
         p.N * p.OH * p.OW / plan.split_k <= kMostPositions;
}

template <const auto& kTiles, bool kMerged>
constexpr Conv2dKernel kernel_of(const char* name, RunConv2d* run) {
  return {.name = name,
          .passes = {Conv2dPass::backward_filter},
          .arithmetic = {Arithmetic::fp32},
          .compute_capability = 75,
          .candidates = candidates<kTiles, kMerged>,
          .accepts = accepts<kTiles, kMerged>,
          .run = run};
}

}  // namespace

const Conv2dKernel tiled_taps =
    kernel_of<kTiledTaps, false>("tiled_taps", CKS_CUDA_CODE(run_tiled_taps));
const Conv2dKernel merged_taps =
    kernel_of<kMergedTaps, true>("merged_taps", CKS_CUDA_CODE(run_merged_taps));

}  // namespace cks::kernels::cuda
