#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// Softmax and its logarithm over the last axis of X [rows,C], and the mean cross-entropy of logits
/// [rows,C] with labels [rows]; float32 and float64, dense (logits of a loss on a GPU also
/// bfloat16). Results are overwritten completely and do not depend on the number of threads. On a
/// GPU nobody on the host can read the labels of a recorded step: one outside [0, C) is not
/// followed, it makes the loss and its row of dX NaN.
namespace cks::kernels {

struct SoftmaxProblem {
  std::int64_t rows, C;
  DType dtype;
};

/// For messages.
inline const char* softmax_name(bool is_log) { return is_log ? "log_softmax" : "softmax"; }

/// What the loss is of, beside logits and labels.
struct CrossEntropyProblem : SoftmaxProblem {
  static constexpr std::int64_t kNoLabel = std::numeric_limits<std::int64_t>::min();

  double label_smoothing = 0.0;
  std::int64_t ignored_label = kNoLabel;  // rows of this label count for nothing
  /// Logits and their gradient are bfloat16, the rest float32, which `dtype` says. On a GPU alone.
  bool narrow_logits = false;
};

/// Bytes that cross_entropy_forward needs: one double a row.
inline std::size_t cross_entropy_workspace_bytes(const CrossEntropyProblem& problem) {
  return static_cast<std::size_t>(problem.rows) * sizeof(double);
}

/// Row by row Y = exp(X - max) / sum(exp(X - max)), or its logarithm, X - max - log(sum(exp(X -
/// max))).
CKS_ENTRY_POINT(void, softmax_forward,
                (const SoftmaxProblem& problem, bool is_log, const void* x, void* y));
/// dX from the forward pass's result Y: Y * (dY - sum(Y * dY)), or dY - exp(Y) * sum(dY).
CKS_ENTRY_POINT(void, softmax_backward,
                (const SoftmaxProblem& problem, bool is_log, const void* y, const void* dy,
                 void* dx));

/// log_probabilities [rows,C] = log_softmax of the logits, and
/// loss (one element) = mean over the rows that are not ignored of
///   (1 - s) * -L[r,label[r]] + s/C * sum over c of -L[r,c],   L = log_probabilities,
/// s = label_smoothing, each row's times class_weights[label[r]], [C] of the problem's dtype;
/// null: 1. count (one element of the problem's dtype) = how many rows those are; with none the
/// mean is 0. Labels lie in [0, C) or are the ignored one. Needs rows >= 1.
CKS_ENTRY_POINT(void, cross_entropy_forward,
                (const CrossEntropyProblem& problem, const void* logits, void* log_probabilities,
                 const std::int64_t* labels, void* loss, void* count, void* workspace,
                 const void* class_weights));
/// Gradient by the logits: grad_loss/count * (exp(L) - (1 - s) * [c == label] - s/C), with
/// grad_loss (one element) and the forward pass's count read from memory, times the same weights; 0
/// in rows that are ignored.
CKS_ENTRY_POINT(void, cross_entropy_backward,
                (const CrossEntropyProblem& problem, const void* log_probabilities,
                 const std::int64_t* labels, const void* count, const void* grad_loss, void* dx,
                 const void* class_weights));

}  // namespace cks::kernels
