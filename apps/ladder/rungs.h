#pragma once
#include <cstdint>
#include <vector>

#include "apps/ladder/passes.h"

namespace cks::ladder {

/// A rung of a pass: a name for the table, and a function that computes the whole result and
/// returns the multiply-adds that it executed (on a GPU: those of whole tiles).
template <class Pass>
struct Rung {
  const char* name;
  std::int64_t (*run)(const Pass& pass, float* result);
  bool tensor_cores = false;  // operands are rounded to tf32
};

template <class Pass>
const std::vector<Rung<Pass>>& cpu_rungs();
/// Queued on the current stream; operands and result are memory of the current device.
template <class Pass>
const std::vector<Rung<Pass>>& gpu_rungs();

}  // namespace cks::ladder
