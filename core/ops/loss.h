#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

struct CrossEntropyOptions {
  double label_smoothing = 0.0;  // share of the target that goes to all classes evenly
};

/// Mean over the rows of -log(softmax(logits)[label]), with label smoothing s of
///
///   (1 - s) * -L[label] + s/C * sum over c of -L[c],   L = log_softmax(logits).
///
/// With class_weights each row's is multiplied by the weight of its label. (PyTorch divides the sum
/// by that of the rows' weights, not by N.)
///
/// Shapes       logits [N,C], labels [N] of int64, class_weights [C] of the logits' dtype; a rank-0
///              result.
/// Dtype        float32 or float64; the mean is summed in float64.
/// Gradients    for the logits.
/// Throws       ShapeError, also for an empty batch; DtypeError; Error if a label is not in [0, C),
///              with its index and value, or label_smoothing outside [0, 1].
/// On a GPU     labels are not read on the host: one outside makes the loss and the gradient of its
///              row NaN.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options = {}, const Tensor& class_weights = {});

/// Mean over all elements of (input - target)^2. Both have one shape and dtype; a rank-0 result.
/// Gradients for both. Throws ShapeError, also if there are no elements; DtypeError.
Tensor mse_loss(const Tensor& input, const Tensor& target);

}  // namespace cks
