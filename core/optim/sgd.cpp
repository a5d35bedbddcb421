#include "cks/core/optim/sgd.h"

#include "cks/core/ops/output.h"
#include "cks/core/optim/step_problem_impl.h"

namespace cks {

Sgd::Sgd(NamedTensors parameters, const Options& options)
    : Sgd(single_group(std::move(parameters)), options) {}

Sgd::Sgd(std::vector<ParameterGroup> groups, const Options& options)
    : Optimizer("sgd", std::move(groups), options.learning_rate), options_(options) {
  optim::require_option("sgd", "momentum", options.momentum);
  optim::require_option("sgd", "weight_decay", options.weight_decay);
  if (options.nesterov && options.momentum == 0.0) {
    throw Error("sgd: nesterov needs a momentum above 0");
  }
  if (options.momentum != 0.0) {
    add_state("momentum_buffer", StateKind::like_parameter);
    add_momentum(options.momentum);
  }
}

void Sgd::update(const std::vector<Due>& due, const StepScalars& scalars) {
  const auto tensors = optim::step_tensors(due, options_.weight_decay);
  const auto problem = optim::step_problem(tensors, learning_rate_tensor(), scalars);
  CKS_KERNEL(device(), sgd_step(problem, {.momentum = options_.momentum,
                                          .nesterov = options_.nesterov,
                                          .momentum_now = momentum_now()}));
}

}  // namespace cks
