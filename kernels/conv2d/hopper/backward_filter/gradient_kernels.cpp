#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernels `box_taps` and `planes_taps` plan: Sk-dilated in boxes of terms (gradient.h).
namespace cks::kernels::hopper {

bool has_bfloat_pixels(const Conv2dProblem& p) {
  return p.x_type == DType::bfloat16 && p.y_type == DType::bfloat16 && p.w_type == DType::float32;
}

namespace {

struct TapsTile {
  Conv2dTile tile;
  double rate;  // of a multiprocessor's float32 multiply-adds
};

constexpr TapsTile kBoxTiles[] = {{{128, 256}, 9.0}, {{128, 128}, 7.0}, {{64, 256}, 5.0}};
constexpr TapsTile kPlanesTiles[] = {{{128, 128}, 2.1}};
constexpr double kUnitOverhead = 3.0;  // boxes of terms that storing a unit is worth

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const Arithmetic arithmetic = plan.arithmetic;
  const bool has_types = arithmetic == Arithmetic::bf16   ? has_bfloat_pixels(p)
                         : arithmetic == Arithmetic::fp16 ? takes_halves(p)
                                                          : has_type(p, DType::float32);
  return has_types &&
         takes_gradient(gradient_request(plan, p), arithmetic == Arithmetic::fp32 ? 4 : 2);
}

template <const auto& kTiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : kTiles) {
    add_gradient_candidates(found, request, {tile.tile, tile.rate, kUnitOverhead},
                            planes_of(request.arithmetic),
                            [&](const Conv2dPlan& plan) { return takes(plan, request.problem); });
  }
  return found;
}

template <const auto& kTiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return is_one_of(kTiles, plan.tile) && takes(plan, p) &&
         plan.workspace_bytes >= gradient_workspace(plan, p, planes_of(plan.arithmetic));
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<GradientPlan>(plan_gradient(gradient_request(plan, problem)));
}

}  // namespace

const Conv2dKernel box_taps = {.name = "box_taps",
                               .passes = {Conv2dPass::backward_filter},
                               .arithmetic = {Arithmetic::bf16, Arithmetic::fp16},
                               .compute_capability = 90,
                               .only_there = true,
                               .candidates = candidates<kBoxTiles>,
                               .accepts = accepts<kBoxTiles>,
                               .prepare = prepare,
                               .run = CKS_CUDA_CODE(run_taps)};

const Conv2dKernel planes_taps = {.name = "planes_taps",
                                  .passes = {Conv2dPass::backward_filter},
                                  .arithmetic = {Arithmetic::fp32},
                                  .compute_capability = 90,
                                  .only_there = true,
                                  .candidates = candidates<kPlanesTiles>,
                                  .accepts = accepts<kPlanesTiles>,
                                  .prepare = prepare,
                                  .run = CKS_CUDA_CODE(run_taps)};

}  // namespace cks::kernels::hopper
