#include <algorithm>
#include <cmath>

#include "cks/kernels/optimizer_step/clip.h"

namespace cks::kernels::cpu {

void clip_factor(const double* squares, std::int64_t count, double max_norm, double* norm,
                 double* factor) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += squares[i];
  }
  *norm = std::sqrt(sum);
  *factor = clip_ratio(*norm, max_norm);
}

void all_set(const std::uint8_t* flags, std::int64_t count, std::uint8_t* result) {
  const bool all = std::all_of(flags, flags + count, [](std::uint8_t flag) { return flag != 0; });
  *result = all ? 1 : 0;
}

}  // namespace cks::kernels::cpu
