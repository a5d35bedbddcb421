#pragma once
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// Reductions over all elements (a rank-0 result) or over some axes. An axis may be negative, -1
/// being the last; `keepdim` leaves extents of 1 in their places. No axes reduce nothing.
///
/// Dtype        float32 or float64. Sums accumulate in float64, in an order that the shape decides.
/// Determinism  the same bits for every number of threads.
/// Throws       DtypeError; ShapeError if an axis is out of range or named twice.

Tensor sum(const Tensor& input);
Tensor sum(const Tensor& input, const std::vector<int>& axes, bool keepdim = false);

/// Sum divided by the number of elements; NaN if there are none.
Tensor mean(const Tensor& input);
Tensor mean(const Tensor& input, const std::vector<int>& axes, bool keepdim = false);

/// Greatest element; NaN if there is one. Equal greatest elements share the gradient evenly.
/// Throws ShapeError if there are no elements to choose from.
Tensor max(const Tensor& input);
Tensor max(const Tensor& input, const std::vector<int>& axes, bool keepdim = false);

/// Index (int64) along an axis of the first greatest element, NaN being the greatest. Off the tape.
/// Throws ShapeError if the axis is empty.
Tensor argmax(const Tensor& input, int axis = -1, bool keepdim = false);

namespace ops {

/// The gradient of a broadcast: sums `input` over the axes in which `shape` was stretched to it.
/// The tensor itself if the shapes are equal. Off the tape.
Tensor sum_to(const Tensor& input, const Shape& shape);
/// Sums over all axes but the last: the gradient of a bias. Off the tape.
Tensor sum_to_last_axis(const char* operation, const Tensor& input);

}  // namespace ops
}  // namespace cks
