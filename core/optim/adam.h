#pragma once
#include "cks/core/optim/optimizer.h"

namespace cks {

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
};

/// Adam, as torch.optim.Adam:
///
///   g = grad + weight_decay * p
///
///   m = beta1 * m + (1 - beta1) * g
///
///   v = beta2 * v + (1 - beta2) * g^2
///
///   p = p - learning_rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
///
/// t counts the steps of each parameter by itself, since one without a gradient is skipped.
/// State: exp_avg.<name> (m), exp_avg_sq.<name> (v), step.<name> (t).
/// Throws Error if an option is out of range.
class Adam : public Optimizer {
 public:
  using Options = AdamOptions;

  explicit Adam(NamedTensors parameters, const Options& options = {});
  template <class Expected = Options>
  Adam(NamedTensors, ...) = delete;  // for the error: see layers/layer.h
  explicit Adam(std::vector<ParameterGroup> groups, const Options& options = {});

 protected:
  Adam(const char* name, std::vector<ParameterGroup> groups, const Options& options,
       bool decoupled);
  void update(const std::vector<Due>& due, const StepScalars& scalars) override;

 private:
  Options options_;
  bool decoupled_;
};

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
};

/// Adam with decoupled weight decay, as torch.optim.AdamW: first
/// p = p - learning_rate * weight_decay * p, then Adam without weight decay.
class AdamW : public Adam {
 public:
  using Options = AdamWOptions;

  explicit AdamW(NamedTensors parameters, const Options& options = {});
  template <class Expected = Options>
  AdamW(NamedTensors, ...) = delete;  // for the error: see layers/layer.h
  explicit AdamW(std::vector<ParameterGroup> groups, const Options& options = {});
};

}  // namespace cks
