#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

namespace cks::kernels {

/// X [N,IH,IW,C] resized to Y [N,OH,OW,C] by bilinear interpolation; dense. Extents of images lie
/// in [1, 2^30].
struct BilinearProblem {
  std::int64_t N, IH, IW, OH, OW, C;
  bool align_corners;
  DType dtype;
};

/// Each element of Y is the mean of the four pixels around its place, weighted by nearness; a place
/// beyond the outermost pixels' centres is theirs. Row oh lies at row (oh + 1/2) * IH / OH - 1/2 of
/// X, with align_corners at oh * (IH - 1) / (OH - 1); columns likewise. Sums are of doubles.
CKS_ENTRY_POINT(void, upsample_bilinear_forward,
                (const BilinearProblem& problem, const void* x, void* y));
/// dX from dY, gathered in order.
CKS_ENTRY_POINT(void, upsample_bilinear_backward,
                (const BilinearProblem& problem, const void* dy, void* dx));

}  // namespace cks::kernels
