#include <algorithm>

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

template <class Tiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request, const Tiles& tiles,
                                        int element_bytes) {
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : tiles) {
    add_gradient_candidates(found, request, {tile.tile, tile.rate, kUnitOverhead},
                            planes_of(request.arithmetic), [&](const Conv2dPlan& plan) {
                              return takes_gradient(gradient_request(plan, request.problem),
                                                    element_bytes);
                            });
  }
  return found;
}

template <class Tiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p, const Tiles& tiles,
             int element_bytes) {
  return is_one_of(tiles, plan.tile) && takes_gradient(gradient_request(plan, p), element_bytes) &&
         plan.workspace_bytes >= gradient_workspace(plan, p, planes_of(plan.arithmetic));
}

bool has_box_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::bf16 ? has_bfloat_pixels(p) : takes_halves(p);
}

std::vector<Conv2dCandidate> box_candidates(const Conv2dRequest& request) {
  return has_box_types(request.problem, request.arithmetic) ? candidates(request, kBoxTiles, 2)
                                                            : std::vector<Conv2dCandidate>{};
}

bool box_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_box_types(p, plan.arithmetic) && accepts(plan, p, kBoxTiles, 2);
}

std::vector<Conv2dCandidate> planes_candidates(const Conv2dRequest& request) {
  return has_type(request.problem, DType::float32) ? candidates(request, kPlanesTiles, 4)
                                                   : std::vector<Conv2dCandidate>{};
}

bool planes_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_type(p, DType::float32) && accepts(plan, p, kPlanesTiles, 4);
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
                               .candidates = box_candidates,
                               .accepts = box_accepts,
                               .prepare = prepare,
                               .run = CKS_CUDA_CODE(run_taps)};

const Conv2dKernel planes_taps = {.name = "planes_taps",
                                  .passes = {Conv2dPass::backward_filter},
                                  .arithmetic = {Arithmetic::fp32},
                                  .compute_capability = 90,
                                  .only_there = true,
                                  .candidates = planes_candidates,
                                  .accepts = planes_accepts,
                                  .prepare = prepare,
                                  .run = CKS_CUDA_CODE(run_taps)};

}  // namespace cks::kernels::hopper
