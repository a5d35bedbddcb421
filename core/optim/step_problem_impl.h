#pragma once
#include <cstdint>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

/// What the kernels of the optimisers take, from what an Optimizer's update() is given.
namespace cks::optim {

/// `first_state` is the place in a slot's state of SGD's buffer, or of Adam's m, v and t.
template <class Due>
std::vector<kernels::StepTensor> step_tensors(const std::vector<Due>& due, double weight_decay,
                                              std::size_t first_state = 0) {
  std::vector<kernels::StepTensor> tensors;
  tensors.reserve(due.size());
  for (const auto& [slot, grad] : due) {
    const auto state = [&states = slot->state, first_state](std::size_t i) {
      i += first_state;
      return i < states.size() && states[i].defined() ? states[i].data() : nullptr;
    };
    tensors.push_back({.dtype = slot->dtype,
                       .count = grad.numel(),
                       .grad = grad.data(),
                       .parameter = slot->parameter.data(),
                       .first = state(0),
                       .second = state(1),
                       .step = static_cast<const std::int64_t*>(state(2)),
                       .learning_rate_scale = slot->learning_rate_scale,
                       .weight_decay = weight_decay * slot->weight_decay_scale});
  }
  return tensors;
}

/// `tensors` must outlive the problem; `scalars` are an Optimizer's StepScalars.
template <class Scalars>
kernels::StepProblem step_problem(const std::vector<kernels::StepTensor>& tensors,
                                  const Tensor& learning_rate, const Scalars& scalars) {
  return {.tensors = tensors.data(),
          .count = static_cast<std::int64_t>(tensors.size()),
          .learning_rate = learning_rate.data_as<double>(),
          .grad_scale = scalars.grad_scale,
          .skip = scalars.skip};
}

}  // namespace cks::optim
