#include "cks/core/ops/loss.h"

#include <cmath>

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/kernels/bce_with_logits/bce_with_logits.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks {
namespace {

using kernels::CrossEntropyProblem;

const char* const kName = "cross_entropy";

void check(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options,
           const Tensor& class_weights) {
  ops::require_floating(kName, {"logits", logits});
  if (logits.rank() < 2) {
    throw ShapeError(
        formatted("{}: logits must have rank 2 or more, [N,...,C], got {}", kName, logits.shape()));
  }
  ops::require_dtype(kName, {"labels", labels}, DType::int64);
  ops::require_shape(kName, {"labels", labels},
                     Shape(std::vector(logits.shape().begin(), logits.shape().end() - 1)));
  ops::require_same_device(kName, {"labels", labels}, {"logits", logits});
  if (class_weights.defined()) {
    if (ops::is_bfloat16(logits)) {
      ops::require_same_device(kName, {"class_weights", class_weights}, {"logits", logits});
      ops::require_dtype(kName, {"class_weights", class_weights}, DType::float32);
    } else {
      ops::require_same(kName, {{"logits", logits}, {"class_weights", class_weights}});
    }
    ops::require_shape(kName, {"class_weights", class_weights}, {logits.size(-1)});
    if (class_weights.requires_grad()) {
      throw Error(formatted("{}: class_weights requires a gradient, but has none", kName));
    }
  }
  if (logits.numel() == 0) {
    throw ShapeError(
        formatted("{}: there is nothing to average (logits {})", kName, logits.shape()));
  }
  ops::require_share(kName, "label_smoothing", options.label_smoothing);
  if (!labels.device().is_cpu()) {
    return;  // reading them would wait for the device; an unknown label makes the loss NaN there
  }
  const auto* values = labels.data_as<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    if ((values[i] < 0 || values[i] >= logits.size(-1)) && values[i] != options.ignore_index) {
      throw Error(formatted("{}: label {} is {}, expected 0 to {} (logits {})", kName, i, values[i],
                            logits.size(-1) - 1, logits.shape()));
    }
  }
}

/// Two tensors of one shape, whose elements' losses are averaged.
void check_pair(const char* name, const ops::Argument& input, const ops::Argument& target) {
  ops::require_same(name, {input, target});
  ops::require_floating(name, input);
  ops::require_shape(name, target, input.tensor.shape());
  if (input.tensor.numel() == 0) {
    throw ShapeError(formatted("{}: there is nothing to average ({} {})", name, input.name,
                               input.tensor.shape()));
  }
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options,
                     const Tensor& class_weights) {
  // The loss itself is not rounded; GPUs read logits of bfloat16 as they are.
  const bool is_narrow = ops::is_bfloat16(logits);
  if (is_narrow && (logits.device().is_cpu() || ops::is_bfloat16(class_weights))) {
    return cross_entropy(logits.device().is_cpu() ? logits.to(DType::float32) : logits, labels,
                         options, ops::widened(class_weights));
  }
  check(logits, labels, options, class_weights);
  const Device device = logits.device();
  const DType dtype = is_narrow ? DType::float32 : logits.dtype();
  const CrossEntropyProblem problem{{labels.numel(), logits.size(-1), dtype},
                                    options.label_smoothing,
                                    options.ignore_index.value_or(CrossEntropyProblem::kNoLabel),
                                    is_narrow};
  Tensor log_probabilities = ops::make_output(kName, logits.shape(), dtype, device);
  Tensor loss = ops::make_output(kName, {}, dtype, device);
  Tensor count = ops::make_output(kName, {}, dtype, device);  // of rows not ignored
  const auto workspace =
      ops::make_workspace(kName, kernels::cross_entropy_workspace_bytes(problem), device);
  CKS_KERNEL(device,
             cross_entropy_forward(problem, logits.data(), log_probabilities.data(),
                                   labels.data_as<std::int64_t>(), loss.data(), count.data(),
                                   workspace->data(), ops::data_or_null(class_weights)));
  return record(
      kName, std::move(loss), {logits, labels}, {log_probabilities, labels, count, class_weights},
      [problem, dtype = logits.dtype()](const Tensor& grad, const SavedTensors& saved) {
        Tensor grad_logits = ops::make_output(kName, saved[0].shape(), dtype, grad.device());
        CKS_KERNEL(grad.device(),
                   cross_entropy_backward(
                       problem, saved[0].data(), saved[1].data_as<std::int64_t>(), saved[2].data(),
                       grad.data(), grad_logits.data(), ops::data_or_null(saved[3])));
        return std::vector<Tensor>{grad_logits, {}};
      });
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& target) {
  const char* name = "bce_with_logits";
  check_pair(name, {"logits", logits}, {"target", target});
  if (ops::is_bfloat16(logits)) {
    return bce_with_logits(logits.to(DType::float32), target.to(DType::float32));
  }
  Tensor losses = ops::make_output(name, logits);
  CKS_KERNEL(logits.device(), bce_with_logits_forward(logits.dtype(), logits.numel(), logits.data(),
                                                      target.data(), losses.data()));
  return mean(record(
      name, std::move(losses), {logits, target}, {logits, target},
      [name](const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        Tensor grad_logits;
        if (needed[0]) {
          grad_logits = ops::make_output(name, grad);
          CKS_KERNEL(grad.device(),
                     bce_with_logits_backward(grad.dtype(), grad.numel(), saved[0].data(),
                                              saved[1].data(), grad.data(), grad_logits.data()));
        }
        return std::vector<Tensor>{grad_logits, needed[1] ? -(grad * saved[0]) : Tensor()};
      }));
}

Tensor mse_loss(const Tensor& input, const Tensor& target) {
  check_pair("mse_loss", {"input", input}, {"target", target});
  return mean(square(ops::as_real(input) - ops::as_real(target)));
}

Tensor l1_loss(const Tensor& input, const Tensor& target) {
  check_pair("l1_loss", {"input", input}, {"target", target});
  return mean(abs(ops::as_real(input) - ops::as_real(target)));
}

Tensor huber_loss(const Tensor& input, const Tensor& target, double delta) {
  check_pair("huber_loss", {"input", input}, {"target", target});
  if (!(delta > 0.0 && std::isfinite(delta))) {
    throw Error(formatted("huber_loss: delta must be above 0 and finite, got {}", delta));
  }
  const Tensor distance = abs(ops::as_real(input) - ops::as_real(target));
  const Tensor squared = clamp(distance, 0.0, delta);  // the part that counts by its square
  return mean(0.5 * square(squared) + delta * (distance - squared));
}

}  // namespace cks
