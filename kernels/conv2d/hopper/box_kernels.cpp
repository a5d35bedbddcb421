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
constexpr BoxTile kPointwiseTiles[] = {{{128, 128}, 1, 10.0, 5.2, 0}};
constexpr BoxTile kPlanesTiles[] = {{{128, 128}, 1, 0, 0, 2.1}, {{64, 128}, 1, 0, 0, 1.5}};
constexpr double kEpilogue = 2.0;                       // steps that storing a unit is worth
constexpr double kHiddenEpilogue = 0.5;                 // the same where others multiply meanwhile
constexpr double kResidentFilter = 8.5e5;               // what waiting for it costs at the start
constexpr double kPixelByte = 0.9 * cuda::kMemoryByte;  // at the least; products are short

/// Source channels that are multiplied at a time.
int step_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::tf32 ? 32 : 64; }

BoxRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return box_request(plan, p, step_of(plan.arithmetic));
}

double rate_of(const BoxTile& tile, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp32   ? tile.fp32
         : arithmetic == Arithmetic::tf32 ? tile.tf32
                                          : tile.narrow;
}

/// Of an operand that the copy engine brings; in strict fp32 threads split pixels into planes.
int operand_bytes(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::tf32 || arithmetic == Arithmetic::fp32 ? 4 : 2;
}

/// Whether the filter is: products of tf32 read K-major operands alone.
bool transposes(Conv2dPass pass, Arithmetic arithmetic) {
  return pass == Conv2dPass::backward_data && arithmetic == Arithmetic::tf32;
}

/// For halves of the operands, the filter transposed, or its planes.
std::size_t workspace_of(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::fp16) {
    return halves_of_pass(pass, p);
  }
  const std::int64_t element = arithmetic == Arithmetic::fp32
                                   ? kMostPlanes * std::int64_t{sizeof(bfloat16)}
                               : transposes(pass, arithmetic) ? std::int64_t{sizeof(float)}
                                                              : 0;
  return static_cast<std::size_t>(cuda::filter_size(p) * element);
}

bool takes_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::bf16:
      return has_type(p, DType::bfloat16);
    case Arithmetic::fp16:
      return takes_halves(p);
    case Arithmetic::fp32:  // the planes of the filter are bfloat16: eight of them are 16 bytes
      return has_type(p, DType::float32) && p.IC / p.G % 8 == 0;
    default:
      return has_type(p, DType::float32);
  }
}

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  constexpr std::int64_t kMostMatrices = 65535;  // of a grid's last axis
  const bool takes_filter = !transposes(plan.pass, plan.arithmetic) ||
                            (p.OC / p.G % 4 == 0 && p.G * p.FH * p.FW <= kMostMatrices);
  return takes_types(p, plan.arithmetic) && takes_filter &&
         takes_boxes(request_of(plan, p), operand_bytes(plan.arithmetic));
}

/// Whether a plan of boxes is one of `pointwise`.
bool is_pointwise(const Conv2dPlan& plan, const Conv2dProblem& p) {
  if (p.FH * p.FW != 1 || p.G != 1 || !takes(plan, p)) {
    return false;
  }
  const BoxCorrelation c = plan_boxes(request_of(plan, p)).correlation;
  return c.places == 1 && c.place[0].row_taps * c.place[0].column_taps == 1 &&
         steps_of(c, c.place[0]) <= kPointwiseSteps;
}

template <const auto& kTiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  const Arithmetic arithmetic = request.arithmetic;
  std::vector<Conv2dCandidate> found;
  for (const BoxTile& tile : kTiles) {
    add_box_candidates(found, request,
                       {tile.tile, rate_of(tile, arithmetic), kEpilogue, tile.blocks},
                       step_of(arithmetic), workspace_of(p, request.pass, arithmetic),
                       [&](const Conv2dPlan& plan) { return takes(plan, p); });
  }
  if (arithmetic == Arithmetic::fp16) {
    for (Conv2dCandidate& candidate : found) {
      candidate.cost += cost_of_halves(request.pass, p);
    }
  }
  return found;
}

template <const auto& kTiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return is_one_of(kTiles, plan.tile) &&
         plan.workspace_bytes >= workspace_of(p, plan.pass, plan.arithmetic) && takes(plan, p);
}

/// Of 16-bit operands: one of what a warpgroup stores of a unit.
std::int64_t sum_rows(const PreparedConv2d& conv) {
  const BoxCorrelation& c = conv.data<PlannedBoxes>().correlation;
  const int warpgroups = conv.plan.tile.rows == 64 ? 2 : 1;  // with channels in common
  return conv.plan.arithmetic == Arithmetic::tf32
             ? 0
             : std::int64_t{c.units / c.channel_units} * warpgroups;
}

std::vector<Conv2dCandidate> pointwise_candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  std::vector<Conv2dCandidate> found;
  const BoxTile& tile = kPointwiseTiles[0];
  add_box_candidates(found, request,
                     {tile.tile, rate_of(tile, request.arithmetic), kHiddenEpilogue},
                     step_of(request.arithmetic), workspace_of(p, request.pass, request.arithmetic),
                     [&](const Conv2dPlan& plan) { return is_pointwise(plan, p); });
  const auto bytes =
      static_cast<double>((x_elements(p) + y_elements(p)) * operand_bytes(request.arithmetic));
  for (Conv2dCandidate& candidate : found) {
    candidate.cost = std::max(candidate.cost + kResidentFilter, cuda::kLaunch + bytes * kPixelByte);
  }
  return found;
}

bool accepts_pointwise(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return accepts<kPointwiseTiles>(plan, p) && is_pointwise(plan, p);
}

/// Of bf16: a row of each unit.
std::int64_t pointwise_sum_rows(const PreparedConv2d& conv) {
  const BoxCorrelation& c = conv.data<PlannedBoxes>().correlation;
  return conv.plan.arithmetic == Arithmetic::tf32 ? 0 : std::int64_t{c.units / c.channel_units};
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
                          .masks = {Arithmetic::bf16, Arithmetic::fp16},
                          .candidates = candidates<kBoxTiles>,
                          .accepts = accepts<kBoxTiles>,
                          .prepare = prepare,
                          .run = CKS_CUDA_CODE(run_box),
                          .sum_rows = sum_rows};

const Conv2dKernel pointwise = {.name = "pointwise",
                                .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                                .arithmetic = {Arithmetic::bf16, Arithmetic::tf32},
                                .compute_capability = 90,
                                .only_there = true,
                                .masks = {Arithmetic::bf16},
                                .candidates = pointwise_candidates,
                                .accepts = accepts_pointwise,
                                .prepare = prepare,
                                .run = CKS_CUDA_CODE(run_pointwise),
                                .sum_rows = pointwise_sum_rows};

const Conv2dKernel planes = {.name = "planes",
                             .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
                             .arithmetic = {Arithmetic::fp32},
                             .compute_capability = 90,
                             .only_there = true,
                             .candidates = candidates<kPlanesTiles>,
                             .accepts = accepts<kPlanesTiles>,
                             .prepare = prepare,
                             .run = CKS_CUDA_CODE(run_planes)};

}  // namespace cks::kernels::hopper
