#pragma once
#include "cks/core/ops/loss.h"
#include "cks/layers/layer.h"

namespace cks {

/// Losses as modules: they have two inputs, so they are called, not chained. No parameters.

/// Mean cross-entropy of logits [N,...,C] and int64 labels [N,...], with label smoothing and labels
/// that are ignored; see cross_entropy() in core/ops/loss.h.
class CrossEntropyLoss : public Layer<CrossEntropyLoss, CrossEntropyOptions> {
 public:
  /// Throws Error unless label_smoothing lies in [0, 1].
  explicit CrossEntropyLoss(const Options& options = {}) : CrossEntropyLoss(nullptr, {}, options) {}
  CrossEntropyLoss(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  CrossEntropyLoss(Module*, std::string, ...) = delete;  // for the error: see Layer

  using Module::forward;
  /// A scalar.
  Tensor forward(const Tensor& logits, const Tensor& labels) {
    return cross_entropy(logits, labels, options());
  }
  std::string description() const override;
};

/// Mean binary cross-entropy of sigmoid(logits), two tensors of one shape; see bce_with_logits() in
/// core/ops/loss.h.
class BCEWithLogitsLoss : public Layer<BCEWithLogitsLoss> {
 public:
  using Layer::Layer;
  using Module::forward;
  /// A scalar.
  Tensor forward(const Tensor& logits, const Tensor& target) {
    return bce_with_logits(logits, target);
  }
};

/// Mean of (input - target)^2 over all elements.
class MSELoss : public Layer<MSELoss> {
 public:
  using Layer::Layer;
  using Module::forward;
  /// A scalar.
  Tensor forward(const Tensor& input, const Tensor& target) { return mse_loss(input, target); }
};

/// Mean of |input - target| over all elements.
class L1Loss : public Layer<L1Loss> {
 public:
  using Layer::Layer;
  using Module::forward;
  /// A scalar.
  Tensor forward(const Tensor& input, const Tensor& target) { return l1_loss(input, target); }
};

struct HuberLossOptions {
  double delta = 1.0;  // distance from which on the loss is linear
};

/// Mean of Huber's loss over all elements; see huber_loss() in core/ops/loss.h.
class HuberLoss : public Layer<HuberLoss, HuberLossOptions> {
 public:
  using Layer::Layer;
  template <class Expected = Options>
  HuberLoss(Module*, std::string, ...) = delete;  // for the error: see Layer

  using Module::forward;
  /// A scalar. Throws Error unless delta > 0 and finite.
  Tensor forward(const Tensor& input, const Tensor& target) {
    return huber_loss(input, target, options().delta);
  }
};

}  // namespace cks
