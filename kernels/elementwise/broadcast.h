#pragma once
#include <cstdint>
#include <span>

namespace cks::kernels {

/// How the operands of an element-wise operation walk along with its dense row-major result:
/// NumPy's broadcasting as strides, 0 where an operand repeats. Axes of extent 1 are dropped and
/// neighbouring axes that all operands walk alike are joined, so that the last axis is as long as
/// it can be; there an operand's stride is 1 (it runs along) or 0 (one value).
struct BroadcastProblem {
  static constexpr int kMaxRank = 8;
  static constexpr int kMaxOperands = 3;

  int rank = 0;
  int operands = 0;
  std::int64_t count = 1;  // elements of the result
  std::int64_t extents[kMaxRank] = {};
  std::int64_t strides[kMaxOperands][kMaxRank] = {};  // in elements of the operand
};

/// The problem of a result and its dense row-major operands, whose shapes align at the last axis.
/// Throws ShapeError if an operand's extent is neither the result's nor 1, or there are too many
/// axes or operands.
BroadcastProblem make_broadcast(std::span<const std::int64_t> result,
                                std::span<const std::span<const std::int64_t>> operands);

}  // namespace cks::kernels
