#include "cks/core/optim/adam.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

namespace cks {
namespace {

enum : std::size_t { kExpAvg, kExpAvgSq, kStep };  // order of a slot's state

}  // namespace

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
  add_state("exp_avg", StateKind::like_parameter);
  add_state("exp_avg_sq", StateKind::like_parameter);
  add_state("step", StateKind::step_count);
}

void Adam::update(const std::vector<Due>& due, const StepScalars& scalars) {
  std::vector<kernels::StepTensor> tensors;
  tensors.reserve(due.size());
  for (const auto& [slot, grad] : due) {
    tensors.push_back({.dtype = slot->dtype,
                       .count = grad.numel(),
                       .grad = grad.data(),
                       .parameter = slot->parameter.data(),
                       .first = slot->state[kExpAvg].data(),
                       .second = slot->state[kExpAvgSq].data(),
                       .step = slot->state[kStep].data_as<std::int64_t>(),
                       .learning_rate_scale = slot->learning_rate_scale,
                       .weight_decay = options_.weight_decay * slot->weight_decay_scale});
  }
  const kernels::StepProblem problem{.tensors = tensors.data(),
                                     .count = static_cast<std::int64_t>(tensors.size()),
                                     .learning_rate = learning_rate_tensor().data_as<double>(),
                                     .grad_scale = scalars.grad_scale,
                                     .skip = scalars.skip};
  const kernels::AdamStepOptions options{.beta1 = options_.beta1,
                                         .beta2 = options_.beta2,
                                         .eps = options_.eps,
                                         .decoupled = decoupled_};
  CKS_KERNEL(due.front().slot->device, adam_step(problem, options));
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
