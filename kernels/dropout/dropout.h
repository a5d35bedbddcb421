#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"

namespace cks::kernels {

/// Elements dropped at random: element i of a step is kept if random word i of (key, step) is, as a
/// number in [0, 1), at least `probability`. probability lies in [0, 1].
struct DropoutProblem {
  DType dtype;
  std::int64_t count;
  double probability;
  std::uint64_t key;
};

namespace cpu {

/// Y = kept ? X / (1 - probability) : 0, with the step read from memory. The backward pass is the
/// same function of dY: the mask is drawn again, never stored.
void dropout(const DropoutProblem& problem, const std::int64_t* step, const void* x, void* y);

}  // namespace cpu

/// As cpu::, on device memory, queued on current_stream().
namespace cuda {

void dropout(const DropoutProblem& problem, const std::int64_t* step, const void* x, void* y);

}  // namespace cuda
}  // namespace cks::kernels
