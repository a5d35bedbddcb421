#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/kernels.h"

// What the kernel `taps80` plans: Sk-dilated in boxes of terms (hopper/gradient.h) that threads
// copy.
namespace cks::kernels::ampere {
namespace {

/// A tile that the kernel is compiled for: output channels x columns, and the share of the tensor
/// cores' peak (peak_rate) that it reaches.
struct TapsTile {
  Conv2dTile tile;
  double share;
};

constexpr TapsTile kTiles[] = {{{128, 128}, 0.5}, {{64, 128}, 0.35}, {{64, 64}, 0.22}};
constexpr Conv2dTile kNarrowTile = {64, 64};  // the only one whose channels are copied by 4 bytes
constexpr double kNarrowRate = 0.4;           // of the others
constexpr double kUnitOverhead = 2.0;         // boxes of terms that storing a unit is worth
constexpr std::int64_t kMostSplitK = 64;

bool at_places(const Conv2dPlan& plan) { return plan.granule == kTerms; }

hopper::GradientRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return {p, plan.tile, at_places(plan), plan.split_k};
}

/// Both operands into planes of bfloat16, whose channels are copied by 16 bytes whatever theirs
/// are.
bool splits(Arithmetic arithmetic) { return arithmetic == Arithmetic::fp32; }

double rate_of(const TapsTile& tile, const Conv2dRequest& request) {
  const double rate = peak_rate(request) * tile.share;
  return splits(request.arithmetic) || is_wide(request.problem, request.pass) ? rate
                                                                              : rate * kNarrowRate;
}

/// All but the workspace.
bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const bool has_types = plan.arithmetic == Arithmetic::bf16 ? hopper::has_bfloat_pixels(p)
                                                             : has_type(p, DType::float32);
  return has_types && is_copied(p, plan.pass) &&
         (plan.tile == kNarrowTile || splits(plan.arithmetic) || is_wide(p, plan.pass)) &&
         hopper::fits_gradient(request_of(plan, p));
}

Conv2dCandidate candidate_of(const Conv2dRequest& request, const Conv2dPlan& plan, double rate) {
  const Conv2dProblem& p = request.problem;
  const GradientPlan g = plan_gradient(request_of(plan, p));
  const int multiprocessors = cuda::multiprocessors_of(request);
  const auto cost_of = [&](const hopper::UnitWalk<GradientTap>& walk) {
    return unit_of(g, walk.group(), walk.index()).terms + kUnitOverhead;
  };
  const double boxes = longest_load(g, std::min(g.units, multiprocessors), cost_of);
  const double box = static_cast<double>(plan.tile.rows * plan.tile.columns * kTerms);
  Conv2dCandidate candidate{plan, cuda::kLaunch + boxes * box / rate};
  cuda::add_split_k(candidate, p, plan.split_k, multiprocessors);
  if (splits(plan.arithmetic)) {
    candidate.cost += hopper::cost_of_planes(plan, p);
    candidate.plan.workspace_bytes = hopper::gradient_workspace(plan, p);
  }
  candidate.plan.reason = cuda::describe_use(
      g.at_places ? "terms at places, those of each tap" : "terms in a row",
      static_cast<double>(exact_multiply_adds(p)), static_cast<double>(executed_of(g)));
  return candidate;
}

/// Of each tile and kind of boxes the best way to split the sums.
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const std::int64_t positions = p.N * p.OH * p.OW;
  // Sums that the tensor core cuts stay short; in strict fp32 they are float32 from 16 terms on.
  const std::int64_t fewest =
      request.arithmetic == Arithmetic::fp32
          ? 1
          : std::clamp<std::int64_t>(ceil_div(positions, cuda::kLongestSum), 1, kMostSplitK);
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : kTiles) {
    for (const bool placed : {true, false}) {
      Conv2dPlan plan;
      plan.pass = request.pass;
      plan.arithmetic = request.arithmetic;
      plan.tile = tile.tile;
      plan.granule = placed ? kTerms : positions * kTerms;
      Conv2dCandidate best;
      for (std::int64_t split_k = fewest; split_k <= kMostSplitK; split_k *= 2) {
        plan.split_k = split_k;
        const bool too_fine = split_k > fewest && positions / split_k < std::int64_t{4} * kTerms;
        if (too_fine || !takes(plan, p)) {
          break;
        }
        Conv2dCandidate candidate = candidate_of(request, plan, rate_of(tile, request));
        if (best.cost == 0.0 || candidate.cost < best.cost) {
          best = std::move(candidate);
        }
      }
      if (best.cost > 0.0) {
        found.push_back(std::move(best));
      }
    }
  }
  return found;
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const bool known = std::any_of(std::begin(kTiles), std::end(kTiles),
                                 [&](const TapsTile& one) { return one.tile == plan.tile; });
  return known && takes(plan, p) &&
         (splits(plan.arithmetic) ? plan.workspace_bytes >= hopper::gradient_workspace(plan, p)
                                  : cuda::has_room_for_slices(plan, p));
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<GradientPlan>(plan_gradient(request_of(plan, problem)));
}

}  // namespace

const Conv2dKernel taps80 = {.name = "taps80",
                             .passes = {Conv2dPass::backward_filter},
                             .arithmetic = {Arithmetic::fp32, Arithmetic::tf32, Arithmetic::bf16},
                             .compute_capability = 80,
                             .stands_in = true,
                             .candidates = candidates,
                             .accepts = accepts,
                             .prepare = prepare,
                             .run = CKS_AMPERE_CODE(run_taps80)};

}  // namespace cks::kernels::ampere
