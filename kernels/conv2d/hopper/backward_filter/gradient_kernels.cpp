#include "cks/kernels/conv2d/hopper/box_plans.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernels `box_taps` and `planes_taps` plan: Sk-dilated in boxes of terms (gradient.h).
namespace cks::kernels::hopper {
namespace {

constexpr double kUnitOverhead = 3.0;  // boxes of terms that storing a unit is worth
constexpr RatedTile kBoxTiles[] = {{{128, 256}, 9.0, 2 * kUnitOverhead},
                                   {{128, 128}, 7.5, kUnitOverhead},
                                   {{64, 256}, 5.0, kUnitOverhead}};
constexpr RatedTile kPlanesTiles[] = {{{128, 128}, 2.1, kUnitOverhead}};

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_gradient_types(p, plan.arithmetic) &&
         takes_gradient(gradient_request(plan, p), plan.arithmetic == Arithmetic::fp32 ? 4 : 2);
}

template <const auto& kTiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  for (const RatedTile& tile : kTiles) {
    add_gradient_candidates(found, request, tile, planes_of(request.arithmetic),
                            [&](const Conv2dPlan& plan) { return takes(plan, request.problem); });
  }
  return found;
}

template <const auto& kTiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return is_one_of(kTiles, plan.tile) && takes(plan, p) &&
         plan.workspace_bytes >= gradient_workspace(plan, p, planes_of(plan.arithmetic));
}

template <const auto& kTiles>
constexpr Conv2dKernel kernel_of(const char* name, EnumSet<Arithmetic> arithmetic) {
  return {.name = name,
          .passes = {Conv2dPass::backward_filter},
          .arithmetic = arithmetic,
          .compute_capability = 90,
          .only_there = true,
          .candidates = candidates<kTiles>,
          .accepts = accepts<kTiles>,
          .prepare = prepare_gradient,
          .run = CKS_CUDA_CODE(run_taps)};
}

}  // namespace

const Conv2dKernel box_taps =
    kernel_of<kBoxTiles>("box_taps", {Arithmetic::bf16, Arithmetic::fp16});
const Conv2dKernel planes_taps = kernel_of<kPlanesTiles>("planes_taps", {Arithmetic::fp32});

}  // namespace cks::kernels::hopper
