#include "cks/kernels/elementwise/broadcast.h"

#include "cks/kernels/common/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::kernels {
namespace {

std::string print(std::span<const std::int64_t> extents) {
  return formatted("[{}]", list_text(extents, ","));
}

// Strides of one operand along the axes of the result, before any are joined.
void set_strides(std::span<const std::int64_t> result, std::span<const std::int64_t> operand,
                 std::int64_t* strides) {
  bool fits = operand.size() <= result.size();
  std::int64_t step = 1;
  for (std::size_t i = 1; i <= result.size() && fits; ++i) {
    const std::size_t axis = result.size() - i;
    const std::int64_t extent = i <= operand.size() ? operand[operand.size() - i] : 1;
    fits = extent == 1 || extent == result[axis];
    strides[axis] = extent == 1 ? 0 : step;
    step *= extent;
  }
  if (!fits) {
    throw ShapeError(formatted("broadcast: an operand {} does not fit the result {}",
                               print(operand), print(result)));
  }
}

}  // namespace

BroadcastProblem make_broadcast(std::span<const std::int64_t> result,
                                std::span<const std::span<const std::int64_t>> operands) {
  if (result.size() > BroadcastProblem::kMaxRank ||
      operands.size() > BroadcastProblem::kMaxOperands) {
    throw ShapeError(formatted("broadcast: at most {} axes and {} operands, got {} and {}",
                               int{BroadcastProblem::kMaxRank}, int{BroadcastProblem::kMaxOperands},
                               print(result), operands.size()));
  }
  std::int64_t strides[BroadcastProblem::kMaxOperands][BroadcastProblem::kMaxRank] = {};
  for (std::size_t k = 0; k < operands.size(); ++k) {
    set_strides(result, operands[k], strides[k]);
  }

  BroadcastProblem problem;
  problem.operands = static_cast<int>(operands.size());
  for (std::size_t axis = 0; axis < result.size(); ++axis) {
    problem.count *= result[axis];
    if (result[axis] == 1) {
      continue;
    }
    // The axis joins the one before it where every operand steps over it without a gap.
    const int last = problem.rank - 1;
    bool joins = last >= 0;
    for (std::size_t k = 0; k < operands.size() && joins; ++k) {
      joins = problem.strides[k][last] == strides[k][axis] * result[axis];
    }
    const int target = joins ? last : problem.rank++;
    problem.extents[target] = joins ? problem.extents[target] * result[axis] : result[axis];
    for (std::size_t k = 0; k < operands.size(); ++k) {
      problem.strides[k][target] = strides[k][axis];
    }
  }
  return problem;
}

}  // namespace cks::kernels
