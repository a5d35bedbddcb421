#pragma once
#include "cks/core/tensor/tensor.h"
#include "cks/kernels/common/geometry.h"

namespace cks {

/// Pooling over windows of images [N,H,W,C], each channel by itself.
///
/// Shapes       input [N,IH,IW,C]; result [N,OH,OW,C], N may be 0, with
///              OH = floor((IH + pt + pb - dh*(FH-1) - 1) / sh) + 1, and OW likewise. With
///              ceil_mode it is ceil(...) + 1, one less if the last window would begin in the
///              padding behind the image; as PyTorch.
/// Units        kernel_size, stride, padding and dilation are in input pixels.
/// Dtype        float32 or float64.
/// Sums         means and gradients add up in float64, of bfloat16 on a GPU in float32; gradients
///              are gathered without atomics.
/// Determinism  the same bits for every number of threads.
/// Throws       ShapeError with all sizes: rank is not 4, an image is empty or has 2^31 pixels, the
///              padding is as large as the window, or the window exceeds the padded image;
///              DtypeError.

struct MaxPool2dOptions {
  Size2 kernel_size = 2;  // of the window
  Size2 stride = 0;       // 0: kernel_size
  Padding2d padding = 0;
  Size2 dilation = 1;
  bool ceil_mode = false;  // also windows at the end that do not fit as a whole
};

/// The largest element of each window; padding never wins. The gradient goes to the first of equal
/// elements. A NaN wins over every number. Keeps an index for each result alive until backward.
Tensor max_pool2d(const Tensor& input, const MaxPool2dOptions& options = {});

struct AvgPool2dOptions {
  Size2 kernel_size = 2;  // of the window
  Size2 stride = 0;       // 0: kernel_size
  Padding2d padding = 0;
  bool count_include_pad = true;  // padding counts as zeros; otherwise only pixels are averaged
  bool ceil_mode = false;  // also windows at the end that do not fit as a whole; what reaches
                           // beyond the padding never counts
};

/// The mean of each window.
Tensor avg_pool2d(const Tensor& input, const AvgPool2dOptions& options = {});

/// The mean of each channel over the whole image: [N,H,W,C] -> [N,1,1,C].
Tensor global_avg_pool2d(const Tensor& input);

}  // namespace cks
