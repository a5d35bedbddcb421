#include "cks/core/ops/loss.h"

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
    throw ShapeError(formatted("{}: there is nothing to average (logits {})", kName,
                               logits.shape().to_string()));
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
                            logits.size(1) - 1, logits.shape().to_string()));
    }
  }
}

struct CrossEntropyBackward : Node {
  double label_smoothing = 0.0;
  SavedTensor log_probabilities{this};
  SavedTensor labels{this};
  SavedTensor class_weights{this};
  const char* name() const override { return kName; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    const Tensor& saved = log_probabilities.get();
    const void* const weights = class_weights.defined() ? class_weights.get().data() : nullptr;
    const SoftmaxProblem problem{saved.size(0), saved.size(1), saved.dtype()};
    Tensor grad = ops::make_output(name(), saved.shape(), saved.dtype(), saved.device());
    CKS_KERNEL(saved.device(), cross_entropy_backward(problem, label_smoothing, saved.data(),
                                                      labels.get().data_as<std::int64_t>(),
                                                      grad_output.data(), grad.data(), weights));
    return {grad, {}};
  }
};

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options,
                     const Tensor& class_weights) {
  check(logits, labels, options, class_weights);
  const Device device = logits.device();
  const SoftmaxProblem problem{logits.size(0), logits.size(1), logits.dtype()};
  Tensor log_probabilities = ops::make_output(kName, logits.shape(), logits.dtype(), device);
  Tensor loss = ops::make_output(kName, {}, logits.dtype(), device);
  const auto workspace =
      ops::make_workspace(kName, kernels::cross_entropy_workspace_bytes(problem), device);
  CKS_KERNEL(device, log_softmax_forward(problem, logits.data(), log_probabilities.data()));
  CKS_KERNEL(device,
             cross_entropy_forward(problem, options.label_smoothing, log_probabilities.data(),
                                   labels.data_as<std::int64_t>(), loss.data(), workspace->data(),
                                   class_weights.defined() ? class_weights.data() : nullptr));
  return record<CrossEntropyBackward>(std::move(loss), {logits, labels},
                                      [&](CrossEntropyBackward& node) {
                                        node.label_smoothing = options.label_smoothing;
                                        node.log_probabilities.save(log_probabilities);
                                        node.labels.save(labels);
                                        if (class_weights.defined()) {
                                          node.class_weights.save(class_weights);
                                        }
                                      });
}

Tensor mse_loss(const Tensor& input, const Tensor& target) {
  ops::require_same("mse_loss", {{"input", input}, {"target", target}});
  ops::require_real("mse_loss", {"input", input});
  ops::require_shape("mse_loss", {"target", target}, input.shape());
  if (input.numel() == 0) {
    throw ShapeError(
        formatted("mse_loss: there is nothing to average (input {})", input.shape().to_string()));
  }
  return mean(square(input - target));
}

}  // namespace cks
