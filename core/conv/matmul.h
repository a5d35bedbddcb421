#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Product of two matrices.
///
/// Shapes       a [M,K], b [K,N]; result [M,N]. Any extent may be 0.
/// Dtype        float32 or float64, accumulated in it.
/// On a GPU     each product is a pass of a convolution of one tap (conv2d.h) by the plan that the
///              cost model selects: tensor cores wherever these pay. Plans are not forced, nor do
///              recorders see them.
/// Gradients    for both; keeps a and b alive until backward, each only if the other requires one.
/// Determinism  the same bits for every number of threads.
/// Throws       ShapeError if a rank is not 2 or the inner extents differ; DtypeError, DeviceError.
Tensor matmul(const Tensor& a, const Tensor& b);

/// A fully connected layer: v = input * weight^T + bias, and then v > 0 ? v : negative_slope * v,
/// for which no other pass is needed: 1 leaves v, 0 is ReLU.
///
/// Shapes       input [...,in] of any rank from 1 on, weight [out,in], bias [out] or absent; result
///              [...,out].
/// Throws       as matmul, and Error unless negative_slope lies in [0, 1].
/// Otherwise as matmul.
Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
              double negative_slope = 1.0);

}  // namespace cks
