#include "cks/core/optim/adam.h"

#include "cks/core/ops/output.h"
#include "cks/core/optim/step_problem_impl.h"

namespace cks {

Adam::Adam(NamedTensors parameters, const Options& options)
    : Adam(single_group(std::move(parameters)), options) {}

Adam::Adam(std::vector<ParameterGroup> groups, const Options& options)
    : Adam("adam", std::move(groups), options, false) {}

Adam::Adam(const char* name, std::vector<ParameterGroup> groups, const Options& options,
           bool decoupled)
    : Optimizer(name, std::move(groups), options.learning_rate),
      options_(options),
      decoupled_(decoupled) {
  optim::require_option(name, "beta1", options.beta1, 0.0, 1.0);
  optim::require_option(name, "beta2", options.beta2, 0.0, 1.0);
  optim::require_option(name, "eps", options.eps);
  optim::require_option(name, "weight_decay", options.weight_decay);
  add_state("exp_avg", StateKind::like_parameter);  // in the order of optim::step_tensors
  add_state("exp_avg_sq", StateKind::like_parameter);
  add_state("step", StateKind::step_count);
}

void Adam::update(const std::vector<Due>& due, const StepScalars& scalars) {
  const auto tensors = optim::step_tensors(due, options_.weight_decay);
  const auto problem = optim::step_problem(tensors, learning_rate_tensor(), scalars);
  CKS_KERNEL(device(), adam_step(problem, {.beta1 = options_.beta1,
                                           .beta2 = options_.beta2,
                                           .eps = options_.eps,
                                           .decoupled = decoupled_}));
}

AdamW::AdamW(NamedTensors parameters, const Options& options)
    : AdamW(single_group(std::move(parameters)), options) {}

AdamW::AdamW(std::vector<ParameterGroup> groups, const Options& options)
    : Adam("adamw", std::move(groups),
           {.learning_rate = options.learning_rate,
            .beta1 = options.beta1,
            .beta2 = options.beta2,
            .eps = options.eps,
            .weight_decay = options.weight_decay},
           true) {}

}  // namespace cks
