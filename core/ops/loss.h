#pragma once
#include <optional>

#include "cks/core/tensor/tensor.h"

namespace cks {

struct CrossEntropyOptions {
  double label_smoothing = 0.0;  // share of the target that goes to all classes evenly
  /// Label of rows that count for nothing: pixels at a border, say, that nobody has named.
  std::optional<std::int64_t> ignore_index = {};
};

/// Mean over the rows of -log(softmax(logits)[label]), with label smoothing s of
///
///   (1 - s) * -L[label] + s/C * sum over c of -L[c],   L = log_softmax(logits).
///
/// A row is what has a label: one of the batch, or a pixel of it. Rows with the label ignore_index
/// are left out of the mean and get gradient 0; if no other is there, the loss is 0. (PyTorch's is
/// NaN.) With class_weights each row's is multiplied by the weight of its label. (PyTorch divides
/// the sum by that of the rows' weights, not by their number.)
///
/// Shapes       logits [N,C] or [N,H,W,C], any rank from 2 on; labels of int64, the same without C;
///              class_weights [C] of the logits' dtype; a rank-0 result.
/// Dtype        float32 or float64; the mean is summed in float64.
/// Gradients    for the logits.
/// Throws       ShapeError, also for an empty batch; DtypeError; Error if a label is neither in
///              [0, C) nor ignore_index, with its index and value, or label_smoothing outside
///              [0, 1].
/// On a GPU     labels are not read on the host: one outside makes the loss and the gradient of its
///              row NaN.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options = {}, const Tensor& class_weights = {});

/// Mean over all elements of the binary cross-entropy of probabilities s = sigmoid(logits),
///
///   -target * log(s) - (1 - target) * log(1 - s),
///
/// computed from the logits: accurate and finite where s rounds to 0 or 1. Targets are meant to lie
/// in [0, 1]. Both have one shape and dtype; a rank-0 result. Gradients for both. Throws
/// ShapeError, also if there are no elements; DtypeError.
Tensor bce_with_logits(const Tensor& logits, const Tensor& target);

/// Mean over all elements of (input - target)^2. Both have one shape and dtype; a rank-0 result.
/// Gradients for both. Throws ShapeError, also if there are no elements; DtypeError.
Tensor mse_loss(const Tensor& input, const Tensor& target);

/// Mean over all elements of |input - target|; gradient 0 where they are equal. As mse_loss
/// otherwise.
Tensor l1_loss(const Tensor& input, const Tensor& target);

/// Huber's loss, the mean over all elements of, with d = |input - target|,
///
///   d^2 / 2 where d <= delta, delta * (d - delta / 2) elsewhere:
///
/// squares near the target, so that outliers pull no harder than delta. As mse_loss otherwise;
/// throws Error unless delta > 0 and finite.
Tensor huber_loss(const Tensor& input, const Tensor& target, double delta = 1.0);

}  // namespace cks
