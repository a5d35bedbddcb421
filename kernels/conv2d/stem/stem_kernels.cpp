#include <algorithm>

#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"
#include "cks/kernels/conv2d/stem/kernels.h"
#include "cks/kernels/conv2d/stem/stem.h"

// What the kernels `stem` and `stem_taps` plan (stem.h).
namespace cks::kernels::stem {
namespace {

constexpr std::int64_t kColumns[] = {64, 32};

// Of a multiprocessor, in cycles; a cycle is 128 multiply-adds of the cost model.
constexpr double kCycle = 128.0;
constexpr double kBytes = 19.0;    // from and to memory, in one
constexpr double kProduct = 1.55;  // of 16 x 8 x 16
constexpr double kElement = 0.25;  // staging one, in every copy and plane
constexpr double kRead = 1.0;      // 128 bytes of shared memory
constexpr double kTile = 300.0;    // waiting
constexpr double kBegin = 1.2e4;   // until a block's first tile is there

int products_of(int planes) { return hopper::kPlaneProducts - hopper::first_plane_product(planes); }

/// Elements that a block stages for a tile.
double staged(const StemTiles& t) {
  return static_cast<double>(t.images) * t.source_rows * t.row_elements;
}

/// With the time of all tiles, `multiplying` of each, which move `outputs` elements a position.
/// What happens in shared memory hides half of the copies, and of staging.
template <class Shape>
Conv2dCandidate candidate_of(const Conv2dRequest& request, const Shape& shape,
                             const Conv2dTile& tile, double multiplying, double outputs) {
  const Conv2dProblem& p = request.problem;
  const StemTiles& t = shape.tiles;
  const double bytes = static_cast<double>(size_of(p.x_type));
  const double moved = (staged(t) + kPositions * outputs) * bytes / kBytes;
  const double staging = staged(t) * t.copies * shape.planes * kElement;
  const double each = 0.5 * moved + multiplying + 0.5 * staging + kTile;
  const double tiles = static_cast<double>(t.count) * shape.channel_tiles;
  const double turns = std::max(1.0, tiles / cuda::multiprocessors_of(request));
  return {{.tile = tile,
           .granule = kPositions,
           .reason = cuda::describe_use(
               "all taps and channels in one product, patches read from strips of pixels", p,
               static_cast<double>(executed_of(shape)))},
          cuda::kLaunch + kCycle * (kBegin + each * turns)};
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  std::vector<Conv2dCandidate> found;
  for (const std::int64_t columns : kColumns) {
    const auto s = stem_shape(p, request.arithmetic, columns);
    if (!s) {
      continue;
    }
    const double steps = 4.0 * s->steps * products_of(s->planes);  // of four warps
    const auto wide = static_cast<double>(columns);
    const double multiplying = steps * std::max(kRead * (8 + wide / 4), kProduct * 2 * wide / 8);
    found.push_back(candidate_of(request, *s, {kPositions, columns}, multiplying,
                                 std::min(wide, static_cast<double>(p.OC))));
  }
  return found;
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const Conv2dTile& tile = plan.tile;
  return tile.rows == kPositions && contains(kColumns, tile.columns) &&
         stem_shape(p, plan.arithmetic, tile.columns).has_value();
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<StemShape>(*stem_shape(p, plan.arithmetic, plan.tile.columns));
}

// --- stem_taps ----------------------------------------------------------------------------------

std::int64_t columns_of(const StemTapsShape& s) {
  return std::int64_t{s.term_tiles} * kGradientWarps / 2 * 8;
}

std::vector<Conv2dCandidate> taps_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const auto s = stem_taps_shape(p, request.arithmetic);
  if (!s) {
    return {};
  }
  const int multiprocessors = cuda::multiprocessors_of(request);
  const std::int64_t blocks =
      std::int64_t{gradient_blocks(s->planes, s->term_tiles)} * multiprocessors / s->channel_tiles;
  const std::int64_t fewest =
      ceil_div(std::int64_t{s->tiles.count} * kPositions, cuda::kLongestSum);
  const std::int64_t split_k =
      std::max({std::int64_t{1}, fewest, std::min<std::int64_t>(blocks, s->tiles.count)});
  const double products = 1.0 * kPositions / kTermsOfStep * kGradientWarps * products_of(s->planes);
  const double multiplying =
      products * std::max(kRead * (9 + 2 * s->term_tiles), kProduct * 2 * s->term_tiles);
  Conv2dCandidate candidate =
      candidate_of(request, *s, {kGradientChannels, columns_of(*s)}, multiplying,
                   static_cast<double>(std::min<std::int64_t>(kGradientChannels, p.OC)));
  cuda::add_split_k(candidate, p, split_k, multiprocessors);
  return {std::move(candidate)};
}

bool taps_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const auto s = stem_taps_shape(p, plan.arithmetic);
  return s && cuda::has_room_for_slices(plan, p) && plan.tile.rows == kGradientChannels &&
         plan.tile.columns == columns_of(*s);
}

std::shared_ptr<const void> prepare_taps(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return std::make_shared<StemTapsShape>(*stem_taps_shape(p, plan.arithmetic));
}

}  // namespace

const Conv2dKernel stem = {.name = "stem",
                           .passes = {Conv2dPass::forward},
                           .arithmetic = {Arithmetic::bf16, Arithmetic::tf32, Arithmetic::fp32},
                           .compute_capability = 80,
                           .candidates = candidates,
                           .accepts = accepts,
                           .prepare = prepare,
                           .run = CKS_CUDA_CODE(run_stem)};

const Conv2dKernel stem_taps = {
    .name = "stem_taps",
    .passes = {Conv2dPass::backward_filter},
    .arithmetic = {Arithmetic::bf16, Arithmetic::tf32, Arithmetic::fp32},
    .compute_capability = 80,
    .candidates = taps_candidates,
    .accepts = taps_accepts,
    .prepare = prepare_taps,
    .run = CKS_CUDA_CODE(run_stem_taps)};

}  // namespace cks::kernels::stem
