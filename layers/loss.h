#pragma once
#include "cks/core/ops/loss.h"
#include "cks/layers/module.h"

namespace cks {

/// Losses as modules: they have two inputs, so they are called, not chained. No parameters.

/// Mean cross-entropy of logits [N,C] and int64 labels [N], with label smoothing; see
/// cross_entropy() in core/ops/loss.h.
class CrossEntropyLoss : public Module {
 public:
  using Options = CrossEntropyOptions;

  CrossEntropyLoss() = default;
  /// Throws Error unless label_smoothing lies in [0, 1].
  explicit CrossEntropyLoss(const Options& options) : CrossEntropyLoss(nullptr, {}, options) {}
  CrossEntropyLoss(Module* parent, std::string name, const Options& options);

  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
  std::string description() const override;

 private:
  Options options_;
};

/// Mean of (input - target)^2 over all elements.
class MSELoss : public Module {
 public:
  struct Options {};

  MSELoss() = default;
  MSELoss(Module* parent, std::string name, const Options& = {})
      : Module(parent, std::move(name)) {}

  Tensor operator()(const Tensor& input, const Tensor& target) const;
};

}  // namespace cks
