// The rungs of a CPU, on one thread: the definition, and the definition without zeros.
#include <algorithm>

#include "apps/ladder/rungs.h"

namespace cks::ladder {
namespace {

/// Every element by itself, zeros and all.
template <class Pass>
std::int64_t definition(const Pass& pass, float* result) {
  std::int64_t executed = 0;
  for (int m = 0; m < pass.rows(); ++m) {
    for (int n = 0; n < pass.columns(); ++n) {
      float sum = 0;
      pass.each_product(m, n, [&](float left, float right) { sum += left * right; });
      result[m * pass.columns() + n] = sum;
      executed += pass.terms();
    }
  }
  return executed;
}

/// Place by place: no test and no zero is left in the inner loops.
template <class Pass>
std::int64_t zeros_skipped(const Pass& pass, float* result) {
  std::int64_t executed = 0;
  const int columns = pass.place_columns();
  std::vector<float> sums(static_cast<std::size_t>(columns));
  for (int place = 0; place < pass.places(); ++place) {
    for (int m = 0; m < pass.place_rows(); ++m) {
      std::fill(sums.begin(), sums.end(), 0.0F);
      for (int i = 0; i < pass.steps(place); ++i) {
        const Step step = pass.step(place, i);
        for (int k = 0; k < step.terms; ++k) {
          const float left = step.left[m * step.left_row + k * step.left_term];
          for (int n = 0; n < columns; ++n) {
            sums[static_cast<std::size_t>(n)] +=
                left * step.right[k * step.right_term + n * step.right_column];
          }
        }
        executed += static_cast<std::int64_t>(step.terms) * columns;
      }
      for (int n = 0; n < columns; ++n) {  // also where no step was: the result is 0 there
        result[target_of(pass, place, m, n)] = sums[static_cast<std::size_t>(n)];
      }
    }
  }
  return executed;
}

}  // namespace

template <class Pass>
const std::vector<Rung<Pass>>& cpu_rungs() {
  static const std::vector<Rung<Pass>> rungs{{"definition", definition<Pass>},
                                             {"zeros skipped", zeros_skipped<Pass>}};
  return rungs;
}

template const std::vector<Rung<Forward>>& cpu_rungs();
template const std::vector<Rung<BackwardData>>& cpu_rungs();
template const std::vector<Rung<BackwardFilter>>& cpu_rungs();

}  // namespace cks::ladder
