#include <cmath>

#include "cks/core/autograd.h"
#include "cks/train/diagnose_impl.h"
#include "cks/train/number_text_impl.h"
#include "cks/train/trainer.h"

namespace cks::detail {
namespace {

template <class T>
bool all_finite_as(const Tensor& tensor) {
  for (const T value : tensor.to_vector<T>()) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

bool all_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) {
    return true;
  }
  return tensor.dtype() == DType::float64
             ? all_finite_as<double>(tensor.detach())
             : all_finite_as<float>(tensor.detach().to(DType::float32));
}

std::string describe(const StepFacts& facts, const std::string& norm) {
  return "step " + std::to_string(facts.step) + ": loss " + number_text(facts.loss) +
         ", learning rate " + number_text(facts.learning_rate) + ", gradient norm " + norm;
}

constexpr const char* kAdvice =
    "\n  the step was not taken; try a lower --lr, --lr-warmup-epochs or --clip-grad-norm";

}  // namespace

std::string describe_bad_loss(const StepFacts& facts, Module& model, const Tensor& images,
                              const std::vector<Tensor>& parameters) {
  double square_sum = 0.0;
  bool has_gradient = false;
  for (const Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      has_gradient = true;
      for (const double value : parameter.grad().to(DType::float64).to_vector<double>()) {
        square_sum += value * value;
      }
    }
  }
  const std::string norm =
      has_gradient ? number_text(std::sqrt(square_sum)) + " (of the step before)" : "not known yet";

  std::string culprit;
  if (!all_finite(images)) {
    culprit = "the batch of images itself holds it";
  } else {
    const NoGradGuard no_grad;
    model.set_forward_hook([&](Module& module, const Tensor&, const Tensor& output) {
      if (culprit.empty() && !all_finite(output)) {
        culprit = "first bad output: layer " + (module.path().empty() ? "(model)" : module.path()) +
                  " (" + module.type_name() + "), " + output.shape().to_string();
      }
    });
    try {
      model(images);
    } catch (...) {
      model.set_forward_hook({});
      throw;
    }
    model.set_forward_hook({});
    if (culprit.empty()) {
      culprit = "every layer's output is finite: the loss itself overflowed";
    }
  }
  return "the loss is not finite at " + describe(facts, norm) + "\n  " + culprit + kAdvice;
}

std::string describe_bad_gradient(const StepFacts& facts, Module& model, double norm) {
  std::string culprit = "every gradient is finite: their norm overflowed";
  const NamedTensors parameters = model.named_parameters();
  for (auto entry = parameters.rbegin(); entry != parameters.rend(); ++entry) {
    const Tensor gradient = entry->second.grad();
    if (gradient.defined() && !all_finite(gradient)) {
      culprit = "first bad gradient: " + entry->first + ", " + gradient.shape().to_string();
      break;
    }
  }
  return "a gradient is not finite at " + describe(facts, number_text(norm)) + "\n  " + culprit +
         kAdvice;
}

void require_finite(const Module& model, std::int64_t step) {
  for (const NamedTensors& tensors : {model.named_parameters(), model.named_buffers()}) {
    for (const auto& [name, tensor] : tensors) {
      if (!all_finite(tensor)) {
        throw NonFiniteError("after step " + std::to_string(step) + " " + name + " " +
                             tensor.shape().to_string() +
                             " is not finite; the checkpoint before it was kept");
      }
    }
  }
}

}  // namespace cks::detail
