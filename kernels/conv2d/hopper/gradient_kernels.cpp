#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
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
constexpr double kTf32Gain = 1.9;      // of two planes over three
constexpr double kUnitOverhead = 3.0;  // boxes of terms that storing a unit is worth

template <class Tiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request, const Tiles& tiles,
                                        int element_bytes, double gain) {
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : tiles) {
    add_gradient_candidates(found, request, {tile.tile, tile.rate * gain, kUnitOverhead},
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

std::vector<Conv2dCandidate> box_candidates(const Conv2dRequest& request) {
  return has_bfloat_pixels(request.problem) ? candidates(request, kBoxTiles, 2, 1.0)
                                            : std::vector<Conv2dCandidate>{};
}

bool box_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_bfloat_pixels(p) && accepts(plan, p, kBoxTiles, 2);
}

std::vector<Conv2dCandidate> planes_candidates(const Conv2dRequest& request) {
  if (!has_type(request.problem, DType::float32)) {
    return {};
  }
  const bool tf32 = request.arithmetic == Arithmetic::tf32;
  return candidates(request, kPlanesTiles, 4, tf32 ? kTf32Gain : 1.0);
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
                               .arithmetic = {Arithmetic::bf16},
                               .compute_capability = 90,
                               .only_there = true,
                               .candidates = box_candidates,
                               .accepts = box_accepts,
                               .prepare = prepare,
                               .run = CKS_CUDA_CODE(run_taps)};

const Conv2dKernel planes_taps = {.name = "planes_taps",
                                  .passes = {Conv2dPass::backward_filter},
                                  .arithmetic = {Arithmetic::fp32, Arithmetic::tf32},
                                  .compute_capability = 90,
                                  .only_there = true,
                                  .candidates = planes_candidates,
                                  .accepts = planes_accepts,
                                  .prepare = prepare,
                                  .run = CKS_CUDA_CODE(run_taps)};

}  // namespace cks::kernels::hopper
