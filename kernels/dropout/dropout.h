#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

namespace cks::kernels {

/// Elements dropped at random: element i of a step is kept if random word first + i of (key, step)
/// is, as a number in [0, 1), at least `probability`, which lies in [0, 1]. float32, float64, and
/// on GPUs bfloat16.
struct DropoutProblem {
  DType dtype;
  std::int64_t count;
  double probability;
  std::uint64_t key;
  std::int64_t first = 0;
  /// Elements count mask_slope times where this, of as many and their type, is not above 0: in the
  /// backward pass what an activation that made X does. On a GPU alone. Null: none.
  const void* mask = nullptr;
  double mask_slope = 1.0;
};

/// Y = kept ? X / (1 - probability) : 0, with the step read from memory, and written to `drawn`
/// unless that is null or there is no element. The backward pass is the same function of dY, with
/// the step that was drawn: the choice is drawn again, never stored.
CKS_ENTRY_POINT(void, dropout,
                (const DropoutProblem& problem, const std::int64_t* step, std::int64_t* drawn,
                 const void* x, void* y));

}  // namespace cks::kernels
