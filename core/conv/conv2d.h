#pragma once
#include <cstdint>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/conv2d/problem.h"

namespace cks {

/// Of the operation and of the layer, which makes its weight and bias from the first three and
/// `bias`. The operation is given weight and bias: it needs none of the four, and checks those that
/// are set against them.
struct Conv2dOptions {
  std::int64_t in_channels = 0;   // IC; 0: weight says it
  std::int64_t out_channels = 0;  // OC; 0: weight says it
  Size2 kernel_size = 0;          // FH, FW; 0: weight says it
  Size2 stride = 1;
  Padding2d padding = 0;
  Size2 dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;  // false: without
  /// Of an activation in the same pass, in [0, 1]; 1: none, 0: ReLU, between: leaky ReLU.
  double negative_slope = 1.0;
};

/// As Conv2dOptions.
struct ConvTranspose2dOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  Size2 kernel_size = 0;
  Size2 stride = 1;
  Padding2d padding = 0;
  Size2 output_padding = 0;  // rows and columns added at the bottom and right of the result
  Size2 dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  double negative_slope = 1.0;
};

/// Convolves a batch of images with a bank of filters (cross-correlation: filters are not flipped).
///
///   Y[n,oh,ow,oc] = bias[oc] + sum over fh,fw,ic of
///                   X[n, oh*sh - pt + fh*dh, ow*sw - pl + fw*dw, ic] * W[oc,fh,fw,ic]
///   where X counts as 0 outside the image, and ic runs over the channels of oc's group.
///
/// The activation of the options follows before Y is stored, which saves a pass over Y, and in the
/// backward pass one over its gradient if there is a bias, whose sums are made on the way. Without
/// a bias and an activation, and if a gradient will be wanted, kernels that can (`box` and `halo`
/// for GPUs of compute capability 9.0, in bf16, and fp16 for tf32) also leave the sums of Y that a
/// batch_norm2d behind it takes, without another pass over Y.
///
/// Shapes       input [N,IH,IW,IC], weight [OC,FH,FW,IC/G], bias [OC] or undefined; N may be 0.
///              result [N,OH,OW,OC] with OH = floor((IH + pt + pb - dh*(FH-1) - 1) / sh) + 1, and
///              OW likewise.
/// Units        stride, padding and dilation are in input pixels.
/// Dtype        float32, accumulated in float32; float64 for gradient checks. All of one dtype.
/// Gradients    grad_input by KS-deconv, grad_weight by Sk-dilated, grad_bias by a sum in a fixed
///              order; each only if that tensor requires it. Keeps input and weight alive (shared,
///              not copied) until backward, each only if a gradient needs it; with an activation
///              also the result.
/// Determinism  the same bits for a given plan on a given device, for any number of threads.
/// Cost         the multiply-adds of exact_multiply_adds() for plans of granule 1: ConvV2 leaves
///              out the taps that lie in the padding. A ConvRecorder sees what was executed, a
///              ConvPlanScope or CKS_CONV_PLAN forces the algorithm.
/// Throws       ShapeError   a rank, channels, groups, the bias or an option that is set disagree,
///                           an option is out of range, or the filter exceeds the padded image.
///              DtypeError   mixed or unsupported dtypes.
///              DeviceError  tensors on different devices, or a precision that the device lacks.
///              Error        negative_slope is outside [0, 1].
///              PlanError    a forced algorithm does not take the problem.
///              OutOfMemoryError  result or workspace do not fit.
///              Messages about shapes print all of them and the options.
/// Source       Zhang et al., "Reduce Computational Complexity for Convolutional Layers by Skipping
///              Zeros", arXiv:2306.15951; kernels/conv2d/ALGORITHMS.md.
/// Tested by    tests/core/ops/conv2d_test.cpp, tests/kernels/conv2d/, tests/golden/
Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});

/// Transposed convolution: the linear map of a convolution's input gradient, with a bias. Each
/// input pixel adds its value times the filter to a window of the result.
///
///   Y[n, h*sh - pt + fh*dh, w*sw - pl + fw*dw, oc] += X[n,h,w,ic] * W[ic,fh,fw,oc], from bias[oc]
///   on, where positions outside the result are dropped; then the activation.
///
/// Shapes       input [N,H,W,in], weight [in,FH,FW,out/G], bias [out] or undefined; N may be 0.
///              result [N,OH,OW,out] with
///              OH = (H-1)*sh - pt - pb + dh*(FH-1) + output_padding.h + 1, and OW likewise.
/// Units        options are in pixels of the result; output_padding < max(stride, dilation).
/// Gradients    grad_input by ConvV2, grad_weight by Sk-dilated with input and grad_output in each
///              other's place, grad_bias by a sum in a fixed order; the forward pass is KS-deconv.
/// Dtype, Determinism, Cost, Throws, Source, Tested by as conv2d.
Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

}  // namespace cks
