#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"

// What the kernel `taps80` plans: Sk-dilated in boxes of terms (hopper/backward_filter/gradient.h)
// that threads copy.
namespace cks::kernels::ampere {
namespace {

/// Tiles are output channels x columns.
constexpr PeakTile kTiles[] = {{{128, 128}, 0.5, 2}, {{64, 128}, 0.35, 2}, {{64, 64}, 0.22, 3}};
constexpr double kUnitOverhead = 2.0;  // boxes of terms that storing a unit is worth

/// Both operands into planes of bfloat16, whose channels are copied by 16 bytes whatever theirs
/// are.
bool splits(Arithmetic arithmetic) { return arithmetic == Arithmetic::fp32; }
int split_planes(Arithmetic arithmetic) { return splits(arithmetic) ? kMostPlanes : 1; }

double rate_of(const PeakTile& tile, const Conv2dRequest& request) {
  const double rate = peak_rate(request) * tile.share;
  return splits(request.arithmetic) || is_wide(request.problem, request.pass) ? rate
                                                                              : rate * kNarrowRate;
}

/// All but the workspace.
bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return hopper::has_gradient_types(p, plan.arithmetic) && is_copied(p, plan.pass) &&
         (plan.tile == kNarrowTile || splits(plan.arithmetic) || is_wide(p, plan.pass)) &&
         hopper::fits_gradient(hopper::gradient_request(plan, p));
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  for (const PeakTile& tile : kTiles) {
    hopper::add_gradient_candidates(found, request,
                                    {tile.tile, rate_of(tile, request), kUnitOverhead, 1,
                                     splits(request.arithmetic) ? 1 : tile.resident},
                                    split_planes(request.arithmetic), [&](const Conv2dPlan& plan) {
                                      return takes(plan, request.problem);
                                    });
  }
  return found;
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return hopper::is_one_of(kTiles, plan.tile) && takes(plan, p) &&
         plan.workspace_bytes >= hopper::gradient_workspace(plan, p, split_planes(plan.arithmetic));
}

}  // namespace

const Conv2dKernel taps80 = {.name = "taps80",
                             .passes = {Conv2dPass::backward_filter},
                             .arithmetic = {Arithmetic::fp32, Arithmetic::tf32, Arithmetic::bf16},
                             .compute_capability = 80,
                             .candidates = candidates,
                             .accepts = accepts,
                             .prepare = hopper::prepare_gradient,
                             .run = CKS_AMPERE_CODE(run_taps80)};

}  // namespace cks::kernels::ampere
