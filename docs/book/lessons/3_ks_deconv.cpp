// Exercise 3, after chapter 6: KS-deconv splits the filter.
//
// List the taps that reach the pixels a, a + stride, a + 2*stride, ..., each with its delta, in the
// order of the outputs that they read. Then: scripts/lesson.sh check 3
#include "lesson.h"

std::vector<lesson::Tap> lesson::taps_of_class(const Axis& axis, std::int64_t a) {
  std::vector<Tap> taps;
  // The gap: taps.push_back({f, delta}) for each tap of the class.
  taps.push_back({a, axis.pad});
  // The gap ends.
  return taps;
}
