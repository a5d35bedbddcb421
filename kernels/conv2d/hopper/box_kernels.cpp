#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernels `box` and `planes` plan: ConvV2 and KS-deconv over boxes of pixels (boxes.h).
namespace cks::kernels::hopper {
namespace {

/// A tile that a kernel is compiled for: channels x positions of a unit, and its rate in float32
/// multiply-adds of a multiprocessor: of 16-bit operands (bf16, fp16), tf32, fp32.
struct BoxTile {
  Conv2dTile tile;
  int blocks;  // of a cluster
  double narrow, tf32, fp32;
};

constexpr BoxTile kBoxTiles[] = {
    {{128, 256}, 1, 10.4, 5.6, 0}, {{256, 128}, 2, 10.4, 5.4, 0}, {{128, 128}, 1, 8.5, 4.6, 0},
    {{64, 256}, 1, 6.5, 4.0, 0},   {{64, 128}, 1, 6.0, 3.6, 0},
};
constexpr BoxTile kPlanesTiles[] = {{{128, 128}, 1, 0, 0, 2.1}, {{64, 128}, 1, 0, 0, 1.5}};
constexpr double kEpilogue = 2.0;  // steps that storing a unit is worth

/// Source channels that are multiplied at a time.
int step_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::tf32 ? 32 : 64; }

BoxRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return box_request(plan, p, step_of(plan.arithmetic));
}

void add_candidates(std::vector<Conv2dCandidate>& found, const Conv2dRequest& request,
                    const BoxTile& tile, double rate, std::size_t workspace_bytes,
                    int element_bytes) {
  const Conv2dProblem& p = request.problem;
  add_box_candidates(found, request, {tile.tile, rate, kEpilogue, tile.blocks},
                     step_of(request.arithmetic), workspace_bytes, [&](const Conv2dPlan& plan) {
                       return takes_boxes(request_of(plan, p), element_bytes);
                     });
}

// --- box ----------------------------------------------------------------------------------------

bool has_box_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::bf16   ? has_type(p, DType::bfloat16)
         : arithmetic == Arithmetic::fp16 ? takes_halves(p)
                                          : has_type(p, DType::float32);
}
int operand_bytes(Arithmetic arithmetic) { return arithmetic == Arithmetic::tf32 ? 4 : 2; }

/// Whether the filter is: products of tf32 read K-major operands alone.
bool transposes(Conv2dPass pass, Arithmetic arithmetic) {
  return pass == Conv2dPass::backward_data && arithmetic == Arithmetic::tf32;
}

std::size_t box_workspace(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp16 ? halves_of_pass(pass, p)
         : transposes(pass, arithmetic)
             ? static_cast<std::size_t>(cuda::filter_size(p) * std::int64_t{sizeof(float)})
             : 0;
}

bool takes_filter(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  constexpr std::int64_t kMostMatrices = 65535;  // of a grid's last axis
  return !transposes(pass, arithmetic) ||
         (p.OC / p.G % 4 == 0 && p.G * p.FH * p.FW <= kMostMatrices);
}

std::vector<Conv2dCandidate> box_candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  const Conv2dProblem& p = request.problem;
  const Arithmetic arithmetic = request.arithmetic;
  if (!has_box_types(p, arithmetic) || !takes_filter(p, request.pass, arithmetic)) {
    return found;
  }
  const bool is_narrow = arithmetic != Arithmetic::tf32;
  for (const BoxTile& tile : kBoxTiles) {
    add_candidates(found, request, tile, is_narrow ? tile.narrow : tile.tf32,
                   box_workspace(p, request.pass, arithmetic), operand_bytes(arithmetic));
  }
  if (arithmetic == Arithmetic::fp16) {
    for (Conv2dCandidate& candidate : found) {
      candidate.cost += cost_of_halves(request.pass, p);
    }
  }
  return found;
}

bool box_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return is_one_of(kBoxTiles, plan.tile) && has_box_types(p, plan.arithmetic) &&
         takes_filter(p, plan.pass, plan.arithmetic) &&
         plan.workspace_bytes >= box_workspace(p, plan.pass, plan.arithmetic) &&
         takes_boxes(request_of(plan, p), operand_bytes(plan.arithmetic));
}

// --- planes -------------------------------------------------------------------------------------

std::size_t planes_workspace(const Conv2dProblem& p) {
  return static_cast<std::size_t>(kMostPlanes * cuda::filter_size(p) *
                                  std::int64_t{sizeof(bfloat16)});
}

/// The planes of the filter are bfloat16: eight of them are 16 bytes.
bool takes_planes(const Conv2dProblem& p) {
  return has_type(p, DType::float32) && p.IC / p.G % 8 == 0;
}

std::vector<Conv2dCandidate> planes_candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  if (takes_planes(request.problem)) {
    for (const BoxTile& tile : kPlanesTiles) {
      add_candidates(found, request, tile, tile.fp32, planes_workspace(request.problem), 4);
    }
  }
  return found;
}

bool planes_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return is_one_of(kPlanesTiles, plan.tile) && takes_planes(p) &&
         plan.workspace_bytes >= planes_workspace(p) && takes_boxes(request_of(plan, p), 4);
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<PlannedBoxes>(plan_boxes(request_of(plan, problem)));
}

}  // namespace

const Conv2dKernel box = {.name = "box",
                          .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                          .arithmetic = {Arithmetic::bf16, Arithmetic::fp16, Arithmetic::tf32},
                          .compute_capability = 90,
                          .only_there = true,
                          .candidates = box_candidates,
                          .accepts = box_accepts,
                          .prepare = prepare,
                          .run = CKS_CUDA_CODE(run_box)};

const Conv2dKernel planes = {.name = "planes",
                             .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                             .arithmetic = {Arithmetic::fp32},
                             .compute_capability = 90,
                             .only_there = true,
                             .candidates = planes_candidates,
                             .accepts = planes_accepts,
                             .prepare = prepare,
                             .run = CKS_CUDA_CODE(run_planes)};

}  // namespace cks::kernels::hopper
