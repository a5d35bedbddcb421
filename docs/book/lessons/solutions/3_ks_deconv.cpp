// Exercise 3, after chapter 6: KS-deconv splits the filter.
//
// List the taps that reach the pixels a, a + stride, a + 2*stride, ..., each with its delta, in the
// order of the outputs that they read. Then: scripts/lesson.sh check 3
#include "lesson.h"

std::vector<lesson::Tap> lesson::taps_of_class(const Axis& axis, std::int64_t a) {
  std::vector<Tap> taps;
  // The gap: taps.push_back({f, delta}) for each tap of the class.
  for (std::int64_t f = axis.filter - 1; f >= 0; --f) {
    const std::int64_t steps = a + axis.pad - f * axis.dilation;
    if (steps % axis.stride == 0) {
      taps.push_back({f, steps / axis.stride});
    }
  }
  // The gap ends.
  return taps;
}
