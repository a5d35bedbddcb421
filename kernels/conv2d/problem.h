#pragma once
#include <cstdint>
#include <string>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/geometry.h"

namespace cks::kernels {

/// What a user states of a convolution, before the output size is known.
struct Conv2dSizes {
  std::int64_t N = 1, IH = 1, IW = 1, IC = 1;  // input  [N,IH,IW,IC]
  std::int64_t OC = 1, FH = 1, FW = 1;         // filter [OC,FH,FW,IC/G]
  Size2 stride = 1;
  Padding2d padding = 0;
  Size2 dilation = 1;
  std::int64_t groups = 1;
  DType dtype = DType::float32;
};

/// One convolution in the letters of arXiv 2306.15951; the same struct serves all three passes.
///
///   forward          Y[n,oh,ow,oc]    = bias[oc] + sum over fh,fw,ic of X[n, oh*sh-pt+fh*dh,
///                                       ow*sw-pl+fw*dw, ic] * W[oc,fh,fw,ic], X being 0 outside
///   backward_data    dX, backward_filter dW: the gradients of that sum
///
/// Shapes   X [N,IH,IW,IC], W [OC,FH,FW,IC/G], Y and dY [N,OH,OW,OC]. Group g joins the input
///          channels [g*IC/G, (g+1)*IC/G) with the output channels [g*OC/G, (g+1)*OC/G).
/// Layout   pixel (n,h,w) of X starts at element ((n*IH+h)*IW+w)*x_pitch, of Y likewise with
///          y_pitch; pitches may exceed the channel counts. W is dense.
struct Conv2dProblem {
  std::int64_t N, IH, IW, IC;
  std::int64_t OC, FH, FW;
  std::int64_t OH, OW;
  std::int64_t sh, sw;
  std::int64_t pt, pb, pl, pr;
  std::int64_t dh, dw;
  std::int64_t G;
  std::int64_t x_pitch, y_pitch;  // elements between neighbouring pixels
  DType x_type, w_type, y_type;
  Precision precision = Precision::fp32;
  bool is_aligned = true;  // X, W and Y begin at multiples of 16 bytes

  friend bool operator==(const Conv2dProblem&, const Conv2dProblem&) = default;
};

/// Checks the sizes and completes them to a problem with dense pixels.
/// Throws ShapeError, prefixed with `operation` and ending with all shapes and options, if an
/// extent is < 1 (N may be 0), a padding < 0, channels do not divide by groups, or OH or OW < 1.
Conv2dProblem make_conv2d_problem(const Conv2dSizes& sizes, const char* operation = "conv2d");

/// The convolution whose input gradient is the transposed convolution of an input [N,H,W,in] with a
/// filter [in,FH,FW,out/G]: in the problem, Y is the transposed convolution's input (OH=H, OW=W,
/// OC=in) and X its result (IC=out), IH = (H-1)*sh - pt - pb + dh*(FH-1) + output_padding.h + 1.
/// In `sizes`, IH, IW, IC mean the transposed convolution's input and OC its output channels.
/// Throws ShapeError as above, and if output_padding >= max(stride, dilation).
Conv2dProblem make_conv_transpose2d_problem(const Conv2dSizes& sizes, Size2 output_padding,
                                            const char* operation = "conv_transpose2d");

/// "N8 32x32x3 -> 16, filter 3x3, stride 1x1, padding 1,1,1,1, ..." for reports and messages.
std::string to_string(const Conv2dProblem& problem);

}  // namespace cks::kernels
