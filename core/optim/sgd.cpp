#include "cks/core/optim/sgd.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

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
    momentum_ = Tensor::scalar(options.momentum, DType::float64, device());
  }
}

void Sgd::set_momentum(double momentum) {
  optim::require_option(name(), "momentum", momentum);
  if (!momentum_.defined()) {
    Optimizer::set_momentum(momentum);
  }
  momentum_.fill_(momentum);
}

double Sgd::momentum() const { return momentum_.defined() ? momentum_.item() : 0.0; }

void Sgd::update(const std::vector<Due>& due, const StepScalars& scalars) {
  std::vector<kernels::StepTensor> tensors;
  tensors.reserve(due.size());
  for (const auto& [slot, grad] : due) {
    tensors.push_back({.dtype = slot->dtype,
                       .count = grad.numel(),
                       .grad = grad.data(),
                       .parameter = slot->parameter.data(),
                       .first = slot->state.empty() ? nullptr : slot->state[0].data(),
                       .learning_rate_scale = slot->learning_rate_scale,
                       .weight_decay = options_.weight_decay * slot->weight_decay_scale});
  }
  const kernels::StepProblem problem{.tensors = tensors.data(),
                                     .count = static_cast<std::int64_t>(tensors.size()),
                                     .learning_rate = learning_rate_tensor().data_as<double>(),
                                     .grad_scale = scalars.grad_scale,
                                     .skip = scalars.skip};
  const kernels::SgdStepOptions options{
      .momentum = options_.momentum,
      .nesterov = options_.nesterov,
      .momentum_now = momentum_.defined() ? momentum_.data_as<double>() : nullptr};
  CKS_KERNEL(due.front().slot->device, sgd_step(problem, options));
}

}  // namespace cks
