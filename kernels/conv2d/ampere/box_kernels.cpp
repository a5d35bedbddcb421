#include <limits>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/ampere/geometry.h"
#include "cks/kernels/conv2d/ampere/kernels.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/box_plans.h"

// What the kernels `box80` and `planes80` plan: ConvV2 and KS-deconv over boxes of pixels
// (hopper/boxes.h) that threads copy.
namespace cks::kernels::ampere {
namespace {

/// Tiles are channels x positions of a unit.
constexpr Conv2dTile kLargeTile = {128, 256};  // twice the step of the others
constexpr PeakTile kBoxTiles[] = {
    {kLargeTile, 0.6}, {{128, 128}, 0.52}, {{64, 128}, 0.4}, {{64, 64}, 0.28}};
constexpr PeakTile kPlanesTiles[] = {{{128, 128}, 0.72}, {{64, 64}, 0.48}};
constexpr double kEpilogue = 4.0;              // steps that storing a unit is worth
constexpr std::int64_t kMostMatrices = 65535;  // that transpose_filter() turns
constexpr std::int64_t kMostBytes = std::numeric_limits<std::int32_t>::max();  // of a pitch

/// Source channels that are multiplied at a time.
int step_of(Arithmetic arithmetic, const Conv2dTile& tile) {
  return (arithmetic == Arithmetic::tf32 ? 16 : 32) * (tile == kLargeTile ? 2 : 1);
}

hopper::BoxRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return hopper::box_request(plan, p, step_of(plan.arithmetic, plan.tile));
}

/// Whether channels begin at multiples of `bytes` wherever threads copy or store them; those of a
/// group are stored four at a time.
bool moves_by(std::int64_t bytes, const Conv2dProblem& p, Conv2dPass pass) {
  const bool forward = pass == Conv2dPass::forward;
  const std::int64_t unit = bytes / static_cast<std::int64_t>(size_of(p.x_type));
  if (unit <= 1) {
    return true;
  }
  const std::int64_t source = (forward ? p.IC : p.OC) / p.G;
  const std::int64_t target = (forward ? p.OC : p.IC) / p.G;
  return p.is_aligned && p.x_pitch % unit == 0 && p.y_pitch % unit == 0 &&
         (p.IC / p.G) % unit == 0 && source % unit == 0 &&
         (p.G == 1 || bytes < 16 || target % 4 == 0);
}

std::size_t planes_workspace(const Conv2dProblem& p) {
  const std::int64_t rows = p.OC * p.FH * p.FW;
  return static_cast<std::size_t>(kMostPlanes * rows * round_up(p.IC / p.G, 8)) * sizeof(bfloat16);
}

/// Planes of the filter, or in tf32 the filter transposed for KS-deconv.
std::size_t workspace_of(const Conv2dProblem& p, Conv2dPass pass, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::tf32 && pass == Conv2dPass::backward_data) {
    return static_cast<std::size_t>(cuda::filter_size(p)) * sizeof(float);
  }
  return arithmetic == Arithmetic::fp32 ? planes_workspace(p) : 0;
}

bool has_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  return has_type(p, arithmetic == Arithmetic::bf16 ? DType::bfloat16 : DType::float32);
}

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_types(p, plan.arithmetic) && is_copied(p, plan.pass) &&
         (plan.tile == kNarrowTile || is_wide(p, plan.pass)) &&
         plan.workspace_bytes >= workspace_of(p, plan.pass, plan.arithmetic) &&
         p.G * p.FH * p.FW <= kMostMatrices && hopper::fits_boxes(request_of(plan, p)) &&
         p.FH * p.FW * round_up(p.IC / p.G, 8) <= kMostBytes / std::int64_t{sizeof(float)};
}

/// Whether a block may have 163 KiB of shared memory, not 99.
bool has_much_shared_memory(const DeviceDescription& device) {
  const int capability = device.compute_capability;
  return capability != 86 && capability != 89 && capability < 110;
}

/// Both kinds of boxes for every tile, as far as they take the problem.
template <const auto& kTiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  const Conv2dProblem& p = request.problem;
  std::vector<Conv2dCandidate> found;
  for (const PeakTile& tile : kTiles) {
    if (tile.tile == kLargeTile && !has_much_shared_memory(request.device)) {
      continue;
    }
    const double rate =
        peak_rate(request) * tile.share * (is_wide(p, request.pass) ? 1.0 : kNarrowRate);
    hopper::add_box_candidates(found, request, {tile.tile, rate, kEpilogue},
                               step_of(request.arithmetic, tile.tile),
                               workspace_of(p, request.pass, request.arithmetic),
                               [&](const Conv2dPlan& plan) { return takes(plan, p); });
  }
  return found;
}

template <const auto& kTiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return hopper::is_one_of(kTiles, plan.tile) && takes(plan, p);
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<PlannedBoxes>(plan_boxes(request_of(plan, problem)));
}

template <const auto& kTiles>
constexpr Conv2dKernel kernel_of(const char* name, EnumSet<Arithmetic> arithmetic,
                                 std::int64_t (*run)(const PreparedConv2d&,
                                                     const Conv2dOperands&)) {
  return {.name = name,
          .passes = {Conv2dPass::forward, Conv2dPass::backward_data},
          .arithmetic = arithmetic,
          .compute_capability = 80,
          .candidates = candidates<kTiles>,
          .accepts = accepts<kTiles>,
          .prepare = prepare,
          .run = run};
}

}  // namespace

bool is_copied(const Conv2dProblem& problem, Conv2dPass pass) {
  const std::int64_t most = kMostBytes / static_cast<std::int64_t>(size_of(problem.x_type));
  return problem.x_pitch <= most && problem.y_pitch <= most && moves_by(4, problem, pass);
}
bool is_wide(const Conv2dProblem& problem, Conv2dPass pass) { return moves_by(16, problem, pass); }

double peak_rate(const Conv2dRequest& request) {
  const auto bf16 = [&] {
    switch (request.device.compute_capability) {
      case 80:
      case 87:
        return 16.0;  // A100: 312 of 19.5 TFLOP/s
      case 90:
      case 100:
      case 103:
        return 9.2;  // H200, measured: 619 TFLOP/s of products of warps, of 67
      default:
        return 2.0;  // GeForce, of 8.6, 8.9 and 12.0
    }
  }();
  switch (request.arithmetic) {
    case Arithmetic::bf16:
      return bf16;
    case Arithmetic::tf32:
      return bf16 / 2;
    default:
      return bf16 / kPlaneProducts;
  }
}

const Conv2dKernel box80 =
    kernel_of<kBoxTiles>("box80", {Arithmetic::bf16, Arithmetic::tf32}, CKS_AMPERE_CODE(run_box80));
const Conv2dKernel planes80 =
    kernel_of<kPlanesTiles>("planes80", {Arithmetic::fp32}, CKS_AMPERE_CODE(run_planes80));

}  // namespace cks::kernels::ampere
