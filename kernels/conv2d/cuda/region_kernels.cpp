#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/kernels.h"
#include "cks/kernels/conv2d/cuda/tiles.h"

// What the kernels `tiled` and `thin` plan: ConvV2 and KS-deconv over rectangles of positions
// that meet the same taps (regions.h).
namespace cks::kernels::cuda {
namespace {

/// K of the products of a pair of runs, as a kernel issues them: in whole stages, or tap by tap.
std::int64_t issued_depth(const Correlation& c, const Pair& pair, bool in_stages) {
  constexpr std::int64_t kStage = 16;
  const std::int64_t row_taps = c.rows[pair.row].taps;
  const std::int64_t column_taps = c.columns[pair.column].taps;
  if (!in_stages) {
    return row_taps * column_taps * c.source_channels;
  }
  return c.merge_columns != 0 ? row_taps * round_up(column_taps * c.source_channels, kStage)
                              : row_taps * column_taps * round_up(c.source_channels, kStage);
}

Conv2dCandidate candidate_of(const Conv2dRequest& request, const RatedTile& tile, bool in_stages) {
  const Correlation c = plan_correlation(request.problem, request.pass, tile.size).correlation;
  double total = 0.0;
  double longest = 0.0;
  for (int i = 0; i < c.pairs; ++i) {
    const auto depth = static_cast<double>(issued_depth(c, c.pair[i], in_stages));
    const double tiles = c.pair[i + 1].first_tile - c.pair[i].first_tile;
    total += tiles * static_cast<double>(tile.size.rows) *
             static_cast<double>(c.channel_tiles * tile.size.columns) * depth;
    longest = std::max(longest, static_cast<double>(tile.size.rows * tile.size.columns) * depth);
  }
  total *= static_cast<double>(request.problem.G);
  const char* const how = in_stages ? "tiles of shared memory" : "threads own positions";
  return {{.tile = tile.size, .reason = describe_use(how, request.problem, total)},
          cost_of(total, longest, tile, multiprocessors_of(request))};
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<PlannedCorrelation>(plan_correlation(problem, plan.pass, plan.tile));
}

bool takes(const Conv2dProblem& p, Conv2dPass pass) {
  return has_type(p, DType::float32) && takes_correlation(p, pass);
}

/// The sub-filter of a thin tile lies in shared memory.
bool fits(const Conv2dProblem& p, Conv2dPass pass, const Conv2dTile& tile, bool in_stages) {
  return in_stages || thin_shared_bytes(p, pass, tile) <= kThinSharedBytes;
}

template <const auto& kTiles, bool kInStages>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  if (takes(request.problem, request.pass)) {
    for (const RatedTile& tile : kTiles) {
      if (fits(request.problem, request.pass, tile.size, kInStages)) {
        found.push_back(candidate_of(request, tile, kInStages));
      }
    }
  }
  return found;
}

template <const auto& kTiles, bool kInStages>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return takes(p, plan.pass) && has_tile(kTiles, plan.tile) &&
         fits(p, plan.pass, plan.tile, kInStages);
}

template <const auto& kTiles, bool kInStages>
constexpr Conv2dKernel kernel_of(const char* name, RunConv2d* run) {
  return {.name = name,
          .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
          .arithmetic = {Arithmetic::fp32},
          .compute_capability = 75,
          .candidates = candidates<kTiles, kInStages>,
          .accepts = accepts<kTiles, kInStages>,
          .prepare = prepare,
          .run = run};
}

}  // namespace

const Conv2dKernel tiled = kernel_of<kTiled, true>("tiled", CKS_CUDA_CODE(run_tiled));
const Conv2dKernel thin = kernel_of<kThin, false>("thin", CKS_CUDA_CODE(run_thin));

}  // namespace cks::kernels::cuda
