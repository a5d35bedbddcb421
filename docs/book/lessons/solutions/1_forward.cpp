// Exercise 1, after chapter 2: a convolution by its definition.
//
// The loops stand. Say which pixel output (oh, ow) reads through tap (fh, fw), for any stride,
// padding and dilation, and whether it exists. Then: scripts/lesson.sh check 1
#include "lesson.h"

void lesson::forward(const Problem& p, const float* x, const float* w, float* y) {
  for (std::int64_t n = 0; n < p.N; ++n) {
    for (std::int64_t oh = 0; oh < p.OH; ++oh) {
      for (std::int64_t ow = 0; ow < p.OW; ++ow) {
        for (std::int64_t oc = 0; oc < p.OC; ++oc) {
          float sum = 0;
          for (std::int64_t fh = 0; fh < p.FH; ++fh) {
            for (std::int64_t fw = 0; fw < p.FW; ++fw) {
              // The gap: row, column, and whether they lie inside the image.
              const std::int64_t ih = oh * p.sh - p.pt + fh * p.dh;
              const std::int64_t iw = ow * p.sw - p.pl + fw * p.dw;
              const bool inside = ih >= 0 && ih < p.IH && iw >= 0 && iw < p.IW;
              // The gap ends.
              for (std::int64_t ic = 0; inside && ic < p.IC; ++ic) {
                sum += x[x_at(p, n, ih, iw, ic)] * w[w_at(p, oc, fh, fw, ic)];
              }
            }
          }
          y[y_at(p, n, oh, ow, oc)] = sum;
        }
      }
    }
  }
}
