#include <algorithm>

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/hopper/gradient.h"
#include "cks/kernels/conv2d/hopper/kernels.h"
#include "cks/kernels/conv2d/hopper/plane_products.h"

// What the kernels `box_taps` and `planes_taps` plan: Sk-dilated in boxes of terms (gradient.h).
namespace cks::kernels::hopper {

std::size_t gradient_workspace(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const int count = planes_of(plan.arithmetic);
  const auto bytes_of_planes = [&](std::int64_t pixels, std::int64_t channels) {
    return count == 1 ? 0 : round_up(count * pixels * round_up(channels, 8), 64) * 2;
  };
  const std::int64_t sums = plan.split_k > 1 ? cuda::filter_size(p) * plan.split_k : 0;
  return static_cast<std::size_t>(round_up(sums, 64) * std::int64_t{sizeof(float)} +
                                  bytes_of_planes(p.N * p.IH * p.IW, p.IC) +
                                  bytes_of_planes(p.N * p.OH * p.OW, p.OC));
}

double cost_of_planes(const Conv2dPlan& plan, const Conv2dProblem& p) {
  const int count = planes_of(plan.arithmetic);
  const auto elements = static_cast<double>(p.N * (p.IH * p.IW * p.IC + p.OH * p.OW * p.OC));
  return count == 1 ? 0.0 : 2 * cuda::kLaunch + elements * (4 + 2 * count) * cuda::kMemoryByte;
}

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
constexpr std::int64_t kMostSplitK = 64;

bool at_places(const Conv2dPlan& plan) { return plan.granule == kTerms; }

GradientRequest request_of(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return {p, plan.tile, at_places(plan), plan.split_k};
}

Conv2dCandidate candidate_of(const Conv2dRequest& request, const Conv2dPlan& plan, double rate) {
  const Conv2dProblem& p = request.problem;
  const GradientPlan g = plan_gradient(request_of(plan, p));
  const int multiprocessors = cuda::multiprocessors_of(request);
  const double boxes =
      longest_load(g, std::min(g.units, multiprocessors), [&](const UnitWalk<GradientTap>& walk) {
        return unit_of(g, walk.group(), walk.index()).terms + kUnitOverhead;
      });
  const double box = static_cast<double>(plan.tile.rows * plan.tile.columns * kTerms);
  Conv2dCandidate candidate{plan, cuda::kLaunch + cost_of_planes(plan, p) + boxes * box / rate};
  cuda::add_split_k(candidate, p, plan.split_k, multiprocessors);
  candidate.plan.workspace_bytes = gradient_workspace(plan, p);
  candidate.plan.reason = cuda::describe_use(
      g.at_places ? "terms at places, those of each tap" : "terms in a row",
      static_cast<double>(exact_multiply_adds(p)), static_cast<double>(executed_of(g)));
  return candidate;
}

/// Of each tile and kind of boxes the best way to split the sums.
template <class Tiles>
std::vector<Conv2dCandidate> candidates(const Conv2dRequest& request, const Tiles& tiles,
                                        bool splits, int element_bytes, double gain) {
  const Conv2dProblem& p = request.problem;
  // Sums that the tensor core cuts stay short; those of planes are float32 from 64 terms on.
  const std::int64_t fewest =
      splits ? 1
             : std::clamp<std::int64_t>(ceil_div(p.N * p.OH * p.OW, cuda::kLongestSum), 1,
                                        kMostSplitK);
  std::vector<Conv2dCandidate> found;
  for (const TapsTile& tile : tiles) {
    for (const bool placed : {true, false}) {
      Conv2dPlan plan;
      plan.arithmetic = request.arithmetic;
      plan.tile = tile.tile;
      plan.granule = placed ? kTerms : p.N * p.OH * p.OW * kTerms;
      Conv2dCandidate best;
      for (std::int64_t split_k = fewest; split_k <= kMostSplitK; split_k *= 2) {
        plan.split_k = split_k;
        if (!takes_gradient(request_of(plan, p), element_bytes) ||
            (split_k > fewest && p.N * p.OH * p.OW / split_k < std::int64_t{4} * kTerms)) {
          break;
        }
        Conv2dCandidate candidate = candidate_of(request, plan, tile.rate * gain);
        if (best.cost == 0.0 || candidate.cost < best.cost) {
          best = std::move(candidate);
        }
      }
      if (best.cost > 0.0) {
        found.push_back(std::move(best));
      }
    }
  }
  return found;
}

template <class Tiles>
bool accepts(const Conv2dPlan& plan, const Conv2dProblem& p, const Tiles& tiles,
             int element_bytes) {
  const bool known = std::any_of(std::begin(tiles), std::end(tiles),
                                 [&](const TapsTile& tile) { return tile.tile == plan.tile; });
  return known && takes_gradient(request_of(plan, p), element_bytes) &&
         plan.workspace_bytes >= gradient_workspace(plan, p);
}

std::vector<Conv2dCandidate> box_candidates(const Conv2dRequest& request) {
  return has_bfloat_pixels(request.problem) ? candidates(request, kBoxTiles, false, 2, 1.0)
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
  return candidates(request, kPlanesTiles, true, 4, tf32 ? kTf32Gain : 1.0);
}

bool planes_accepts(const Conv2dPlan& plan, const Conv2dProblem& p) {
  return has_type(p, DType::float32) && accepts(plan, p, kPlanesTiles, 4);
}

std::shared_ptr<const void> prepare(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<GradientPlan>(plan_gradient(request_of(plan, problem)));
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
