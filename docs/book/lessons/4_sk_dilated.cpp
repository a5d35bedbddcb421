// Exercise 4, after chapter 7: Sk-dilated.
//
// Compute one element of dW: the sum over all images and over the outputs for which the tap meets a
// pixel, and no others. Count each product. Then: scripts/lesson.sh check 4
#include <algorithm>

#include "lesson.h"

namespace {

using lesson::Axis;
using lesson::Range;

// The outputs for which tap f meets a pixel.
Range outputs_of(const Axis& axis, std::int64_t f) {
  // The gap: solve 0 <= o*stride - pad + f*dilation < in for o.
  return {0, f < axis.filter ? axis.out : 0};
  // The gap ends.
}

}  // namespace

float lesson::tap_gradient(const Problem& p, const float* x, const float* dy, std::int64_t oc,
                           std::int64_t fh, std::int64_t fw, std::int64_t ic,
                           std::int64_t& products) {
  const Range over_rows = outputs_of(rows(p), fh);
  const Range over_columns = outputs_of(columns(p), fw);
  float sum = 0;
  for (std::int64_t n = 0; n < p.N; ++n) {
    for (std::int64_t oh = over_rows.begin; oh < over_rows.end; ++oh) {
      for (std::int64_t ow = over_columns.begin; ow < over_columns.end; ++ow) {
        // The gap: what is added to the sum.
        sum += dy[y_at(p, n, oh, ow, oc)] * x[x_at(p, n, 0, 0, ic)];
        // The gap ends.
        ++products;
      }
    }
  }
  return sum;
}
