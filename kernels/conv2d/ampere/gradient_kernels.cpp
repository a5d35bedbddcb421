#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"
#include "cks/kernels/conv2d/hopper/kernels.h"

// What the kernel `taps80` plans: Sk-dilated in boxes of terms (hopper/backward_filter/gradient.h)
// that threads copy.
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

/// Both operands into planes of bfloat16, whose channels are copied by 16 bytes whatever theirs
/// are.
bool splits(Arithmetic arithmetic) { return arithmetic == Arithmetic::fp32; }
int split_planes(Arithmetic arithmetic) { return splits(arithmetic) ? kMostPlanes : 1; }

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
         hopper::fits_gradient(hopper::gradient_request(plan, p));
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : kTiles) {
    hopper::add_gradient_candidates(
        found, request, {tile.tile, rate_of(tile, request), kUnitOverhead},
        split_planes(request.arithmetic),
        [&](const Conv2dPlan& plan) { return takes(plan, request.problem); });
  }
  return found;
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return hopper::is_one_of(kTiles, plan.tile) && takes(plan, p) &&
         plan.workspace_bytes >= hopper::gradient_workspace(plan, p, split_planes(plan.arithmetic));
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<GradientPlan>(plan_gradient(hopper::gradient_request(plan, problem)));
}

}  // namespace

const Conv2dKernel taps80 = {.name = "taps80",
                             .passes = {Conv2dPass::backward_filter},
                             .arithmetic = {Arithmetic::fp32, Arithmetic::tf32, Arithmetic::bf16},
                             .compute_capability = 80,
                             .candidates = candidates,
                             .accepts = accepts,
                             .prepare = prepare,
                             .run = CKS_AMPERE_CODE(run_taps80)};

}  // namespace cks::kernels::ampere
