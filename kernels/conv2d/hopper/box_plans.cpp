#include "cks/kernels/conv2d/hopper/box_plans.h"

#include "cks/kernels/common/math.h"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/halves.h"

namespace cks::kernels::hopper {
namespace {

constexpr std::int64_t kMostSplitK = 256;
constexpr double kAlone = 0.85;  // of a multiprocessor's rate, with one block where it holds more

// The granule tells the kinds of boxes apart: at places the images of one, in a row everything.

Conv2dCandidate box_candidate(const Conv2dRequest& request, Conv2dPlan plan, const RatedTile& tile,
                              int step) {
  const PlannedBoxes planned = plan_boxes(box_request(plan, request.problem, step));
  const BoxCorrelation& c = planned.correlation;
  const int workers =
      std::max(1, std::min(c.units, cuda::multiprocessors_of(request) / tile.blocks));
  const double longest = longest_load(c, workers, [&](const UnitWalk<Place>& walk) {
    return steps_of(c, walk.group()) + tile.overhead;
  });
  const double multiply_adds =
      static_cast<double>(tile.tile.rows * tile.tile.columns * c.step) / tile.blocks;
  Conv2dCandidate candidate;
  candidate.cost =
      cuda::kLaunch * (plan.workspace_bytes > 0 ? 2 : 1) + longest * multiply_adds / tile.rate;
  plan.reason =
      cuda::describe_use(c.at_places ? "boxes at places, filters trimmed" : "boxes in a row",
                         request.problem, static_cast<double>(planned.executed));
  candidate.plan = std::move(plan);
  return candidate;
}

/// Time for splitting the operands into planes, or for making halves of them.
double cost_of_operands(const Conv2dProblem& p, Arithmetic arithmetic, int planes) {
  if (arithmetic == Arithmetic::fp16) {
    return cost_of_halves(Conv2dPass::backward_filter, p);
  }
  const auto elements = static_cast<double>(p.N * (p.IH * p.IW * p.IC + p.OH * p.OW * p.OC));
  return planes == 1 ? 0.0 : 2 * cuda::kLaunch + elements * (4 + 2 * planes) * cuda::kMemoryByte;
}

Conv2dCandidate gradient_candidate(const Conv2dRequest& request, const Conv2dPlan& plan,
                                   const RatedTile& tile, int planes) {
  const Conv2dProblem& p = request.problem;
  const GradientPlan g = plan_gradient(gradient_request(plan, p));
  const int multiprocessors = cuda::multiprocessors_of(request);
  const double boxes =
      longest_load(g, std::min(g.units, multiprocessors), [&](const UnitWalk<GradientTap>& walk) {
        return unit_of(g, walk.group(), walk.index()).terms + tile.overhead;
      });
  const double rate = tile.resident > 1 && g.units <= multiprocessors ? kAlone : 1.0;
  const double box = static_cast<double>(plan.tile.rows * plan.tile.columns * kTerms);
  Conv2dCandidate candidate{plan, cuda::kLaunch + cost_of_operands(p, plan.arithmetic, planes) +
                                      boxes * box / (tile.rate * rate)};
  cuda::add_split_k(candidate, p, plan.split_k, multiprocessors);
  candidate.plan.workspace_bytes = gradient_workspace(plan, p, planes);
  candidate.plan.reason =
      cuda::describe_use(g.at_places ? "terms at places, those of each tap" : "terms in a row", p,
                         static_cast<double>(executed_of(g)));
  return candidate;
}

}  // namespace

BoxRequest box_request(const Conv2dPlan& plan, const Conv2dProblem& problem, int step) {
  return {problem, plan.pass, plan.tile, plan.granule == plan.tile.columns / 2, step};
}

void add_box_candidates(std::vector<Conv2dCandidate>& found, const Conv2dRequest& request,
                        const RatedTile& tile, int step, std::size_t workspace_bytes,
                        const TakesPlan& takes) {
  const Conv2dProblem& p = request.problem;
  for (const bool placed : {true, false}) {
    Conv2dPlan plan;
    plan.pass = request.pass;
    plan.arithmetic = request.arithmetic;
    plan.tile = tile.tile;
    plan.workspace_bytes = workspace_bytes;
    plan.granule = placed ? tile.tile.columns / 2 : p.N * p.OH * p.OW * tile.tile.columns;
    if (takes(plan)) {
      found.push_back(box_candidate(request, std::move(plan), tile, step));
    }
  }
}

bool has_gradient_types(const Conv2dProblem& p, Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::bf16:
      return p.x_type == DType::bfloat16 && p.y_type == DType::bfloat16 &&
             p.w_type == DType::float32;
    case Arithmetic::fp16:
      return takes_halves(p);
    default:
      return has_type(p, DType::float32);
  }
}

GradientRequest gradient_request(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return {problem, plan.tile, plan.granule == kTerms, plan.split_k};
}

std::size_t gradient_workspace(const Conv2dPlan& plan, const Conv2dProblem& p, int planes) {
  if (plan.arithmetic == Arithmetic::fp16) {
    return bytes_of_slices(plan, p) + halves_of_pass(Conv2dPass::backward_filter, p);
  }
  const auto bytes_of_planes = [&](std::int64_t pixels, std::int64_t channels) {
    return planes == 1 ? 0 : round_up(planes * pixels * round_up(channels, 8), 64) * 2;
  };
  const std::int64_t sums = plan.split_k > 1 ? cuda::filter_size(p) * plan.split_k : 0;
  return static_cast<std::size_t>(round_up(sums, 64) * std::int64_t{sizeof(float)} +
                                  bytes_of_planes(p.N * p.IH * p.IW, p.IC) +
                                  bytes_of_planes(p.N * p.OH * p.OW, p.OC));
}

void add_gradient_candidates(std::vector<Conv2dCandidate>& found, const Conv2dRequest& request,
                             const RatedTile& tile, int planes, const TakesPlan& takes) {
  const Conv2dProblem& p = request.problem;
  const std::int64_t positions = p.N * p.OH * p.OW;
  const std::int64_t fewest =
      planes > 1 ? 1
                 : std::clamp<std::int64_t>(ceil_div(positions, cuda::kLongestSum), 1, kMostSplitK);
  for (const bool placed : {true, false}) {
    Conv2dPlan plan;
    plan.pass = request.pass;
    plan.arithmetic = request.arithmetic;
    plan.tile = tile.tile;
    plan.granule = placed ? kTerms : positions * kTerms;
    std::vector<Conv2dCandidate> candidates;
    const auto add = [&](std::int64_t split_k) {
      plan.split_k = split_k;
      const bool too_fine = split_k > fewest && positions / split_k < std::int64_t{4} * kTerms;
      if (too_fine || !takes(plan)) {
        return false;
      }
      candidates.push_back(gradient_candidate(request, plan, tile, planes));
      return true;
    };
    for (std::int64_t split_k = fewest; split_k <= kMostSplitK && add(split_k); split_k *= 2) {
    }
    if (!candidates.empty()) {  // one whose blocks all run at once
      plan.split_k = 1;
      const int units = plan_gradient(gradient_request(plan, p)).units;
      const std::int64_t filling = cuda::multiprocessors_of(request) * tile.resident / units;
      if (filling > fewest && filling <= kMostSplitK) {
        add(filling);
      }
    }
    cuda::add_cheapest(found, std::move(candidates));
  }
}

std::shared_ptr<const void> prepare_gradient(const Conv2dPlan& plan, const Conv2dProblem& problem) {
  return std::make_shared<GradientPlan>(plan_gradient(gradient_request(plan, problem)));
}

}  // namespace cks::kernels::hopper
