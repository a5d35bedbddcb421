// Exercise 2, after chapter 5: ConvV2 trims the filter.
//
// Say which taps of output o meet the image, without asking tap by tap. Mind the dilation,
// divisions of negative numbers, and outputs without any tap. Then: scripts/lesson.sh check 2
#include <algorithm>

#include "lesson.h"

lesson::Range lesson::live_taps(const Axis& axis, std::int64_t o) {
  // The gap: the first live tap, and the one behind the last.
  const std::int64_t first = o * axis.stride - axis.pad;  // the pixel of tap 0
  const std::int64_t room = axis.in - 1 - first;          // from there to the last pixel
  if (room < 0) {
    return {0, 0};
  }
  const std::int64_t begin = first < 0 ? (-first + axis.dilation - 1) / axis.dilation : 0;
  return {begin, std::min(axis.filter, room / axis.dilation + 1)};
  // The gap ends.
}
