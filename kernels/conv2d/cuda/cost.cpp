#include "cks/kernels/conv2d/cuda/cost.h"

#include <cmath>
#include <limits>

#include "cks/kernels/common/formatted_impl.h"

namespace cks::kernels::cuda {

double cost_of(double total, double longest, const RatedTile& tile, int multiprocessors) {
  const double alone = longest / tile.alone;
  return kLaunch + std::max(total / (multiprocessors * tile.rate) + 0.5 * alone, alone);
}

void add_split_k(Conv2dCandidate& candidate, const Conv2dProblem& p, std::int64_t split_k,
                 int multiprocessors) {
  candidate.plan.split_k = split_k;
  if (split_k > 1) {
    const std::int64_t size = filter_size(p);
    candidate.cost += kLaunch + 30.0 * static_cast<double>(size) *
                                    static_cast<double>(split_k + 1) / multiprocessors;
    candidate.plan.workspace_bytes = static_cast<std::size_t>(size * split_k) * size_of(p.w_type);
  }
}

std::string describe_use(const char* how, const Conv2dProblem& p, double issued) {
  const auto used = static_cast<double>(exact_multiply_adds(p));
  return formatted("{}; {} % of the issued multiply-adds are used", how,
                   std::lround(issued > 0 ? 100.0 * used / issued : 100.0));
}

void add_cheapest(std::vector<Conv2dCandidate>& found, std::vector<Conv2dCandidate> candidates) {
  const auto best = std::min_element(candidates.begin(), candidates.end(),
                                     [](const auto& a, const auto& b) { return a.cost < b.cost; });
  if (best != candidates.end()) {
    found.push_back(std::move(*best));
  }
}

bool has_room_for_slices(const Conv2dPlan& plan, const Conv2dProblem& p) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (plan.split_k < 1 || plan.split_k > kMost) {
    return false;
  }
  const auto slice = static_cast<std::size_t>(filter_size(p)) * size_of(p.w_type);
  return plan.split_k == 1 ||
         plan.workspace_bytes / static_cast<std::size_t>(plan.split_k) >= slice;
}

}  // namespace cks::kernels::cuda
