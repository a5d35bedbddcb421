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

/// Time of all tiles. What happens in shared memory hides half of the copies, and of staging.
double cost_of(const StemTiles& t, int channel_tiles, double multiplying, double outputs,
               int planes, int element_bytes, int multiprocessors) {
  const double moved = (staged(t) + kPositions * outputs) * element_bytes / kBytes;
  const double staging = staged(t) * t.copies * planes * kElement;
  const double tile = 0.5 * moved + multiplying + 0.5 * staging + kTile;
  const double tiles = static_cast<double>(t.count) * channel_tiles;
  return cuda::kLaunch + kCycle * (kBegin + tile * std::max(1.0, tiles / multiprocessors));
}

const char* const kReason =
    "all taps and channels in one product, patches read from strips of pixels";

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
    Conv2dCandidate candidate;
    candidate.cost =
        cost_of(s->tiles, s->channel_tiles, multiplying, std::min(wide, static_cast<double>(p.OC)),
                s->planes, narrow(static_cast<std::int64_t>(size_of(p.x_type))),
                cuda::multiprocessors_of(request));
    candidate.plan.tile = {kPositions, columns};
    candidate.plan.granule = kPositions;
    candidate.plan.reason = cuda::describe_use(kReason, p, static_cast<double>(executed_of(*s)));
    found.push_back(std::move(candidate));
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
  Conv2dCandidate candidate;
  candidate.cost =
      cost_of(s->tiles, s->channel_tiles, multiplying,
              static_cast<double>(std::min<std::int64_t>(kGradientChannels, p.OC)), s->planes,
              narrow(static_cast<std::int64_t>(size_of(p.x_type))), multiprocessors);
  cuda::add_split_k(candidate, p, split_k, multiprocessors);
  candidate.plan.tile = {kGradientChannels, columns_of(*s)};
  candidate.plan.granule = kPositions;
  candidate.plan.reason = cuda::describe_use(kReason, p, static_cast<double>(executed_of(*s)));
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
