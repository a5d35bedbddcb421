#pragma once
#include <cstdint>
#include <span>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// Tensors side by side: row r of the whole is row r of each part, one after the other. All are
/// dense; part i has widths[i] >= 0 elements a row, the whole has their sum.
namespace cks::kernels {

struct ConcatProblem {
  std::int64_t rows;
  std::span<const std::int64_t> widths;
  DType dtype;
};

/// The whole from its parts, one for each width.
CKS_ENTRY_POINT(void, concat,
                (const ConcatProblem& problem, std::span<const void* const> parts, void* whole));

/// Where a part of a split goes.
struct SplitPart {
  void* to = nullptr;  // null: not wanted
  /// Counts `slope` times where this is not above 0, as the gradient of an activation with this
  /// result does (activation.h); on a GPU alone. Null: does not.
  const void* y = nullptr;
  double slope = 1.0;
};

/// The other way. terms: at least one tensor like the whole; of more than one, which GPUs alone
/// take, and at most kSplitTerms, the sum is split: in their order, in float32 for bfloat16. On a
/// GPU the dtype is a floating one.
inline constexpr int kSplitTerms = 4;
CKS_ENTRY_POINT(void, split,
                (const ConcatProblem& problem, std::span<const void* const> terms,
                 std::span<const SplitPart> parts));

}  // namespace cks::kernels
