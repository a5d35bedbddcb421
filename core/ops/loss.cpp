#include "cks/core/ops/loss.h"

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks {
namespace {

using kernels::SoftmaxProblem;

const char* const kName = "cross_entropy";

void check(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options,
           const Tensor& class_weights) {
  ops::require_real(kName, {"logits", logits});
  ops::require_rank(kName, {"logits", logits}, 2, "[N,C]");
  ops::require_dtype(kName, {"labels", labels}, DType::int64);
  ops::require_shape(kName, {"labels", labels}, {logits.size(0)});
  ops::require_same_device(kName, {"labels", labels}, {"logits", logits});
  if (class_weights.defined()) {
    ops::require_same(kName, {{"logits", logits}, {"class_weights", class_weights}});
    ops::require_shape(kName, {"class_weights", class_weights}, {logits.size(1)});
    if (class_weights.requires_grad()) {
      throw Error(formatted("{}: class_weights requires a gradient, but has none", kName));
    }
  }
  if (logits.numel() == 0) {
    throw ShapeError(
        formatted("{}: there is nothing to average (logits {})", kName, logits.shape()));
  }
  if (!(options.label_smoothing >= 0.0 && options.label_smoothing <= 1.0)) {
    throw Error(formatted("{}: label_smoothing must lie in [0, 1], got {}", kName,
                          options.label_smoothing));
  }
  if (!labels.device().is_cpu()) {
    return;  // reading them would wait for the device; an unknown label makes the loss NaN there
  }
  const auto* values = labels.data_as<std::int64_t>();
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    if (values[i] < 0 || values[i] >= logits.size(1)) {
      throw Error(formatted("{}: label {} is {}, expected 0 to {} (logits {})", kName, i, values[i],
                            logits.size(1) - 1, logits.shape()));
    }
  }
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options,
                     const Tensor& class_weights) {
  if (ops::is_bfloat16(logits)) {  // the loss itself is not rounded
    return cross_entropy(logits.to(DType::float32), labels, options, ops::widened(class_weights));
  }
  check(logits, labels, options, class_weights);
  const Device device = logits.device();
  const SoftmaxProblem problem{logits.size(0), logits.size(1), logits.dtype()};
  Tensor log_probabilities = ops::make_output(kName, logits);
  Tensor loss = ops::make_output(kName, {}, logits.dtype(), device);
  const auto workspace =
      ops::make_workspace(kName, kernels::cross_entropy_workspace_bytes(problem), device);
  CKS_KERNEL(device, log_softmax_forward(problem, logits.data(), log_probabilities.data()));
  CKS_KERNEL(device,
             cross_entropy_forward(problem, options.label_smoothing, log_probabilities.data(),
                                   labels.data_as<std::int64_t>(), loss.data(), workspace->data(),
                                   ops::data_or_null(class_weights)));
  return record(
      kName, std::move(loss), {logits, labels}, {log_probabilities, labels, class_weights},
      [problem, smoothing = options.label_smoothing](const Tensor& grad,
                                                     const SavedTensors& saved) {
        Tensor grad_logits = ops::make_output(kName, saved[0]);
        CKS_KERNEL(grad.device(),
                   cross_entropy_backward(problem, smoothing, saved[0].data(),
                                          saved[1].data_as<std::int64_t>(), grad.data(),
                                          grad_logits.data(), ops::data_or_null(saved[2])));
        return std::vector<Tensor>{grad_logits, {}};
      });
}

Tensor mse_loss(const Tensor& input, const Tensor& target) {
  ops::require_same("mse_loss", {{"input", input}, {"target", target}});
  if (ops::is_bfloat16(input)) {
    return mse_loss(input.to(DType::float32), target.to(DType::float32));
  }
  ops::require_real("mse_loss", {"input", input});
  ops::require_shape("mse_loss", {"target", target}, input.shape());
  if (input.numel() == 0) {
    throw ShapeError(formatted("mse_loss: there is nothing to average (input {})", input.shape()));
  }
  return mean(square(input - target));
}

}  // namespace cks
