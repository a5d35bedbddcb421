#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/geometry.h"
#include "cks/kernels/common/host_device.h"

namespace cks::kernels {

/// What a user states of a pooling, before the output size is known.
struct Pool2dSizes {
  std::int64_t N = 1, IH = 1, IW = 1, C = 1;  // input [N,IH,IW,C]
  std::int64_t FH = 1, FW = 1;                // window
  Size2 stride = 1;
  Padding2d padding = 0;
  Size2 dilation = 1;
  DType dtype = DType::float32;
  /// Windows at the end that no longer fit count too, if they begin before the padding behind.
  bool ceil_mode = false;
};

/// One pooling: window (oh,ow) covers the pixels (oh*sh - pt + fh*dh, ow*sw - pl + fw*dw) that lie
/// in the image. With ceil_mode the last windows may reach beyond the padding.
///
/// Shapes   X, dX [N,IH,IW,C]; Y, dY [N,OH,OW,C]; all dense.
struct Pool2dProblem {
  std::int64_t N, IH, IW, C;
  std::int64_t OH, OW;
  std::int64_t FH, FW;
  std::int64_t sh, sw;
  std::int64_t pt, pb, pl, pr;
  std::int64_t dh, dw;
  DType dtype;

  /// Whether a window reaches beyond the padded image.
  bool overhangs() const {
    return (OH - 1) * sh + FH > IH + pt + pb || (OW - 1) * sw + FW > IW + pl + pr;
  }
};

/// How many of the `filter` taps from `begin` on lie before `end`: of a window of dilation 1, along
/// an axis with its padding.
template <class Index>
constexpr CKS_HOST_DEVICE Index taps_before(Index end, Index begin, Index filter) {
  return end - begin < filter ? end - begin : filter;
}

/// Checks the sizes and completes them to a problem; output extents as a convolution's, with
/// ceil_mode rounded up instead of down, less a window that would begin in the padding behind.
/// Throws ShapeError, prefixed with `operation` and ending with all sizes, if an extent is < 1 (N
/// may be 0), a padding is negative or as large as the dilated window, an image has 2^31 pixels, or
/// OH or OW < 1.
Pool2dProblem make_pool2d_problem(const Pool2dSizes& sizes, const char* operation);

}  // namespace cks::kernels
