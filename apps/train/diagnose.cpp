#include <cmath>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/number_text_impl.h"
#include "cks/train/step_impl.h"
#include "cks/train/trainer.h"

namespace cks::detail {
namespace {

bool all_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) {
    return true;
  }
  const std::vector<double> values =
      tensor.detach().to(Device::cpu()).to(DType::float64).to_vector<double>();
  return all_of(values, [](double value) { return std::isfinite(value); });
}

std::string describe(const StepFacts& facts, const std::string& norm) {
  return formatted("step {}: loss {}, learning rate {}, gradient norm {}", facts.step,
                   number_text(facts.loss), number_text(facts.learning_rate), norm);
}

/// Which module's output is the first bad one; empty if none is.
std::string find_bad_output(Module& model, const Tensor& images) {
  if (!all_finite(images)) {
    return "the batch of images itself holds it";
  }
  std::string culprit;
  const HookScope scope{model};
  const NoGradGuard no_grad;
  model.set_forward_hook([&](Module& module, const std::vector<Tensor>&, const Tensor& output) {
    if (culprit.empty() && !all_finite(output)) {
      culprit = formatted("first bad output: layer {} ({}), {}",
                          module.path().empty() ? "(model)" : module.path(), module.type_name(),
                          output.shape());
    }
  });
  model(images);
  return culprit;
}

constexpr const char* kNotTaken = "\n  the step was not taken; ";
constexpr const char* kAdvice =
    "try a lower learning rate, with_warmup() or TrainOptions::clip_grad_norm";

}  // namespace

std::string describe_bad_loss(const StepFacts& facts, Module& model,
                              const std::vector<Batch>& pieces) {
  const std::string norm = facts.gradient_norm >= 0.0
                               ? number_text(facts.gradient_norm) + " (of the step before)"
                               : "not known yet";
  std::string culprit;
  for (const Batch& piece : pieces) {
    if (culprit.empty()) {
      culprit = find_bad_output(model, piece.images);
    }
  }
  if (culprit.empty()) {
    culprit =
        "every layer's output is finite when the step is run again: the loss itself overflowed, or "
        "what the model counts and draws has moved on";
  }
  return formatted("the loss is not finite at {}\n  {}{}{}", describe(facts, norm), culprit,
                   kNotTaken, kAdvice);
}

std::string describe_bad_gradient(const StepFacts& facts, Module& model) {
  std::string culprit = "every gradient is finite: their norm overflowed";
  const NamedTensors parameters = model.named_parameters();
  for (auto entry = parameters.rbegin(); entry != parameters.rend(); ++entry) {
    const Tensor gradient = entry->second.grad();
    if (gradient.defined() && !all_finite(gradient)) {
      culprit = formatted("first bad gradient: {}, {}", entry->first, gradient.shape());
      break;
    }
  }
  return formatted("a gradient is not finite at {}\n  {}{}{}",
                   describe(facts, number_text(facts.gradient_norm)), culprit, kNotTaken, kAdvice);
}

std::string describe_bad_test_loss(std::int64_t step, std::int64_t epoch, double loss,
                                   Module& model, DataLoader& test_loader) {
  const EvaluationScope scope(model);
  const Device device = device_of(model);
  std::string culprit = "every layer's output is finite: the loss itself overflowed";
  for (const Batch& batch : test_loader.epoch(0)) {
    if (std::string bad = find_bad_output(model, batch.images.to(device)); !bad.empty()) {
      culprit = std::move(bad);
      break;
    }
  }
  return formatted(
      "the test loss is not finite after step {}, at the end of epoch {}: {}\n  {}\n  the epoch is "
      "not counted; {}",
      step, epoch, number_text(loss), culprit, kAdvice);
}

void require_finite(const Module& model, std::int64_t step) {
  for (const NamedTensors& tensors : {model.named_parameters(), model.named_buffers()}) {
    for (const auto& [name, tensor] : tensors) {
      if (!all_finite(tensor)) {
        throw NonFiniteError(
            formatted("after step {} {} {} is not finite; the checkpoint before it was kept", step,
                      name, tensor.shape()));
      }
    }
  }
}

}  // namespace cks::detail
