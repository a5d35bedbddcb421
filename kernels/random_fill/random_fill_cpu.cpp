#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/random_fill/formulas_impl.h"
#include "cks/kernels/random_fill/random_fill.h"

namespace cks::kernels::CKS_CPU {

void random_fill(const RandomFillProblem& problem, const std::int64_t* step, void* y) {
  constexpr std::int64_t kGrain = 1024;  // blocks of four elements
  const auto now = static_cast<std::uint64_t>(*step);
  visit_real("random_fill", problem.dtype, [&]<class T>(T) {
    T* to = static_cast<T*>(y);
    const std::int64_t blocks = ceil_div(problem.count, 4);
    parallel_for_each(blocks, kGrain, [&](std::int64_t block) {
      const FourNumbers numbers = random_numbers(problem, now, block);
      for (std::int64_t i = 0; i < 4 && 4 * block + i < problem.count; ++i) {
        to[4 * block + i] = static_cast<T>(numbers.value[i]);
      }
    });
  });
}

}  // namespace cks::kernels::CKS_CPU
