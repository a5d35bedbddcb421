#include "cks/kernels/strided_copy/strided_copy.h"

#include <algorithm>

#include "cks/kernels/common/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::kernels {

CopyProblem make_copy(std::span<const std::int64_t> extents,
                      std::span<const std::int64_t> source_strides,
                      std::span<const std::int64_t> target_strides) {
  if (extents.size() > CopyProblem::kMaxRank || source_strides.size() != extents.size() ||
      target_strides.size() != extents.size()) {
    throw ShapeError(formatted(
        "strided_copy: takes up to {} axes with two strides each, got {} extents, {} and {} "
        "strides",
        int{CopyProblem::kMaxRank}, extents.size(), source_strides.size(), target_strides.size()));
  }
  CopyProblem problem;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    problem.count *= extents[axis];
    if (extents[axis] == 1) {
      continue;
    }
    const int last = problem.rank - 1;
    const bool joins = last >= 0 &&
                       problem.source_strides[last] == source_strides[axis] * extents[axis] &&
                       problem.target_strides[last] == target_strides[axis] * extents[axis];
    const int at = joins ? last : problem.rank++;
    problem.extents[at] = joins ? problem.extents[at] * extents[axis] : extents[axis];
    problem.source_strides[at] = source_strides[axis];
    problem.target_strides[at] = target_strides[axis];
  }
  return problem;
}

bool turn_for_tiles(CopyProblem& problem) {
  const int last = problem.rank - 1;
  if (problem.rank < 2 || problem.target_strides[last] != 1 || problem.source_strides[last] <= 1) {
    return false;
  }
  std::int64_t* const strides = problem.source_strides;
  const auto axis = std::find(strides, strides + last, 1) - strides;
  if (axis == last) {
    return false;
  }
  for (std::int64_t* values : {problem.extents, strides, problem.target_strides}) {
    std::rotate(values + axis, values + axis + 1, values + last);
  }
  return true;
}

}  // namespace cks::kernels
