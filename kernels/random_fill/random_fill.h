#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

namespace cks::kernels {

enum class RandomKind : std::uint8_t {
  uniform,  // low + (high - low) * u, u in [0, 1)
  normal,   // mean + stddev * z
};

/// Random numbers of (key, step), of which element i is a function of i alone.
struct RandomFillProblem {
  RandomKind kind;
  DType dtype;  // float32 or float64
  std::int64_t count;
  double a, b;  // low and high, or mean and stddev
  std::uint64_t key;
};

/// Fills y, with the step read from memory. The formulas are those of formulas_impl.h: uniform
/// numbers differ between devices by the rounding of one multiply-add, normal ones by that of
/// logarithm, root, sine and cosine.
CKS_ENTRY_POINT(void, random_fill,
                (const RandomFillProblem& problem, const std::int64_t* step, void* y));

}  // namespace cks::kernels
