#include <algorithm>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/common/philox.h"
#include "cks/kernels/dropout/dropout.h"

namespace cks::kernels::cpu {

void dropout(const DropoutProblem& problem, const std::int64_t* step, const void* x, void* y) {
  constexpr std::int64_t kGrain = 4096;  // a multiple of the four words of a random block
  visit_real("dropout", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto* from = static_cast<const T*>(x);
    auto* to = static_cast<T*>(y);
    const auto now = static_cast<std::uint64_t>(*step);
    const auto threshold = static_cast<float>(problem.probability);
    const auto scale = static_cast<T>(1.0 / (1.0 - problem.probability));
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin; first < end; first += 4) {
        const PhiloxBlock block =
            random_block(problem.key, now, static_cast<std::uint64_t>(first / 4));
        const std::int64_t last = std::min(first + 4, end);
        for (std::int64_t i = first; i < last; ++i) {
          const bool kept = to_unit_interval(block.word[i - first]) >= threshold;
          to[i] = kept ? from[i] * scale : T{0};
        }
      }
    });
  });
}

}  // namespace cks::kernels::cpu
