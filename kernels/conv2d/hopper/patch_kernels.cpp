#include <algorithm>
#include <set>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/patches.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernel `patch_taps` plans: Sk-dilated in patches of outputs (patches.h).
namespace cks::kernels::hopper {
namespace {

/// Output channels x columns (an input channel of a tap) of a unit: nine taps, or eight.
constexpr std::int64_t kBlockChannels = kPatchBlock;
constexpr Conv2dTile kTiles[] = {{kBlockChannels, 9 * kBlockChannels},
                                 {kBlockChannels, 8 * kBlockChannels}};
constexpr double kUnitOverhead = 2.0;  // patches that storing a unit is worth
constexpr int kFewestTaps = 6;         // with fewer the taps that are repeated cost too much
constexpr int kMostWaves = 3;

/// Of a multiprocessor's float32 multiply-adds; planes are copied once for several products.
double rate_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::bf16 ? 12.0 : 14.5; }

/// Products of planes for each product.
double products_of(Arithmetic arithmetic) {
  return kPlaneProducts - first_plane_product(planes_of(arithmetic));
}

bool has_patch_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  return arithmetic == Arithmetic::bf16 ? has_bfloat_pixels(p) : has_type(p, DType::float32);
}

/// The plan's granule is the outputs of a patch.
PatchRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return {p, narrow(plan.tile.columns / kPatchBlock), narrow(plan.granule / kPatchWidth),
          plan.split_k, planes_of(plan.arithmetic)};
}

bool takes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_patch_types(p, plan.arithmetic) && plan.granule % kPatchWidth == 0 &&
         takes_patches(request_of(plan, p), plan.arithmetic == Arithmetic::bf16 ? 2 : 4);
}

Conv2dCandidate candidate_of(const Conv2dRequest& request, const Conv2dPlan& plan) {
  const Conv2dProblem& p = request.problem;
  const PatchPlan g = plan_patches(request_of(plan, p));
  const int multiprocessors = cuda::multiprocessors_of(request);
  const double longest =
      longest_load(g, std::min(g.units, multiprocessors), [&](const UnitWalk<TapGroup>& walk) {
        return unit_of(g, walk.index()).patches + kUnitOverhead;
      });
  const double patch = static_cast<double>(plan.granule * plan.tile.rows * plan.tile.columns);
  Conv2dCandidate candidate{
      plan, cuda::kLaunch + cost_of_planes(plan, p) +
                longest * patch * products_of(plan.arithmetic) / rate_of(plan.arithmetic)};
  cuda::add_split_k(candidate, p, plan.split_k, multiprocessors);
  candidate.plan.workspace_bytes = gradient_workspace(plan, p);
  candidate.plan.reason = cuda::describe_use("patches, all taps of a group at once",
                                             static_cast<double>(exact_multiply_adds(p)),
                                             static_cast<double>(executed_of(g)));
  return candidate;
}

/// Parts of the sums that keep the multiprocessors busy for whole waves.
std::set<std::int64_t> splits_of(const Conv2dRequest& request, const Conv2dPlan& plan) {
  const Conv2dProblem& p = request.problem;
  Conv2dPlan whole = plan;
  whole.split_k = 1;
  std::set<std::int64_t> splits;
  if (!takes(whole, p)) {
    return splits;
  }
  const PatchPlan g = plan_patches(request_of(whole, p));
  // Sums that the tensor core cuts stay short; those of planes are float32 from a patch on.
  const std::int64_t fewest =
      plan.arithmetic == Arithmetic::bf16 ? ceil_div(p.N * p.OH * p.OW, cuda::kLongestSum) : 1;
  for (int wave = 1; wave <= kMostWaves; ++wave) {
    const std::int64_t parts =
        std::int64_t{wave} * cuda::multiprocessors_of(request) / std::max(1, g.units);
    splits.insert(
        std::clamp<std::int64_t>(parts, fewest, std::max<std::int64_t>(fewest, g.patches())));
  }
  return splits;
}

std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request) {
  std::vector<Conv2dCandidate> found;
  const Conv2dProblem& p = request.problem;
  if (p.FH * p.FW < kFewestTaps) {
    return found;
  }
  for (const Conv2dTile& tile : kTiles) {
    Conv2dPlan plan;
    plan.arithmetic = p.x_type == DType::bfloat16 ? Arithmetic::bf16 : request.arithmetic;
    plan.tile = tile;
    plan.granule = std::int64_t{kPatchWidth} * best_patch_rows(p);
    Conv2dCandidate best;
    for (const std::int64_t split_k : splits_of(request, plan)) {
      plan.split_k = split_k;
      if (!takes(plan, p)) {
        continue;
      }
      Conv2dCandidate candidate = candidate_of(request, plan);
      if (best.cost == 0.0 || candidate.cost < best.cost) {
        best = std::move(candidate);
      }
    }
    if (best.cost > 0.0) {
      found.push_back(std::move(best));
    }
  }
  return found;
}

bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const bool known = std::find(std::begin(kTiles), std::end(kTiles), plan.tile) != std::end(kTiles);
  return known && takes(plan, p) && plan.workspace_bytes >= gradient_workspace(plan, p);
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<PatchPlan>(plan_patches(request_of(plan, problem)));
}

}  // namespace

const Conv2dKernel patch_taps = {
    .name = "patch_taps",
    .passes = {Conv2dPass::backward_filter},
    .arithmetic = {Arithmetic::bf16, Arithmetic::tf32, Arithmetic::fp32},
    .compute_capability = 90,
    .only_there = true,
    .candidates = candidates,
    .accepts = accepts,
    .prepare = prepare,
    .run = CKS_CUDA_CODE(run_patches)};

}  // namespace cks::kernels::hopper
