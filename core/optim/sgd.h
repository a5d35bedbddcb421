#pragma once
#include "cks/core/optim/optimizer.h"

namespace cks {

struct SgdOptions {
  double learning_rate = 1e-2;
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

/// Stochastic gradient descent, as torch.optim.SGD with dampening 0:
///
///   g = grad + weight_decay * p;  b = momentum * b + g;  g = nesterov ? g + momentum * b : b;
///   p = p - learning_rate * g
///
/// Without momentum there is no buffer b, and set_momentum() throws. State: momentum_buffer.<name>,
/// if there is momentum.
class Sgd : public Optimizer {
 public:
  using Options = SgdOptions;

  /// Throws Error if an option is out of range, or nesterov is asked for without momentum.
  Sgd(NamedTensors parameters, const Options& options);
  template <class Expected = Options>
  Sgd(NamedTensors, ...) = delete;  // for the error: see layers/layer.h
  Sgd(std::vector<ParameterGroup> groups, const Options& options);

 protected:
  void update(const std::vector<Due>& due, const StepScalars& scalars) override;

 private:
  Options options_;
};

}  // namespace cks
