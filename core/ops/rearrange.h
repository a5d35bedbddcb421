#pragma once
#include <cstdint>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/common/geometry.h"

namespace cks {

/// Other orders, parts and joins of the same elements. Results are fresh dense tensors, not views
/// (those are Tensor::reshape and Tensor::slice), but for flatten_chw() of maps of one pixel. Every
/// dtype; gradients for floating ones.
/// An axis may be negative, -1 being the last.

/// Axis i of the result is axis order[i] of the input: permute(x, {0, 3, 1, 2}) turns NHWC to NCHW.
/// Throws ShapeError unless `order` names each axis once.
Tensor permute(const Tensor& input, const std::vector<int>& order);
/// Two axes change places.
Tensor transpose(const Tensor& input, int a = -2, int b = -1);

/// Images [N,H,W,C] -> rows [N, C*H*W] with the channel as the slowest index: the order in which
/// PyTorch flattens its [N,C,H,W], so that the weights of a Linear behind it mean the same. Of maps
/// of one pixel a view, as reshape() makes it.
/// Throws ShapeError unless the rank is 4.
Tensor flatten_chw(const Tensor& input);

/// Images [N,H,W,C] -> [N, H*scale, W*scale, C]: every pixel becomes a square of equal pixels.
/// Gradients for float32 and float64: the sum over each square.
/// Throws ShapeError unless the rank is 4 and scale >= 1.
Tensor upsample_nearest(const Tensor& input, std::int64_t scale);

/// Images [N,H,W,C] -> [N,size.h,size.w,C] by bilinear interpolation between the four nearest
/// pixels; a smaller size is allowed. With align_corners the outermost pixels' centres stay where
/// they are (PyTorch's align_corners=True), otherwise the images' edges do.
/// Float32 and float64. Throws ShapeError unless the rank is 4 and all extents lie in [1, 2^30];
/// DtypeError.
Tensor upsample_bilinear(const Tensor& input, Size2 size, bool align_corners = false);

/// Tensors one after the other along an axis; elsewhere their extents are equal.
/// Throws ShapeError if they differ or there are none; DtypeError, DeviceError if those differ.
Tensor concat(const std::vector<Tensor>& inputs, int axis);
/// Tensors of one shape along a new axis, which is then axis `axis` of the result.
Tensor stack(const std::vector<Tensor>& inputs, int axis = 0);

/// Indices begin, begin+step, ... below end of an axis.
/// Throws ShapeError unless 0 <= begin <= end <= extent and step >= 1.
Tensor slice(const Tensor& input, int axis, std::int64_t begin, std::int64_t end,
             std::int64_t step = 1);

/// Elements added at the two ends of an axis.
struct PadAmount {
  std::int64_t before = 0;
  std::int64_t after = 0;
};
/// Surrounds the tensor with a constant; one amount for each axis:
/// pad(images, {{0, 0}, {2, 2}, {2, 2}, {0, 0}}).
/// Throws ShapeError if their number is not the rank or one is negative, DtypeError if an integer
/// dtype cannot hold the value.
Tensor pad(const Tensor& input, const std::vector<PadAmount>& amounts, double value = 0.0);

}  // namespace cks
