#include "cks/core/autograd/autograd.h"
#include "cks/core/ops.h"
#include "cks/train/step_impl.h"
#include "cks/train/trainer.h"

namespace cks {

namespace detail {

Tensor mean_loss(const LossFunction& loss, const Tensor& output, const Batch& batch,
                 double label_smoothing, const Tensor& class_weights) {
  return loss ? loss(output, batch)
              : cross_entropy(output, batch.labels, {.label_smoothing = label_smoothing},
                              class_weights);
}

Device device_of(const Module& model) {
  const NamedTensors parameters = model.named_parameters();
  return parameters.empty() ? Device::cpu() : parameters.front().second.device();
}

Batch on_device(Batch batch, Device device) {
  batch.images = batch.images.to(device);
  batch.labels = batch.labels.to(device);
  return batch;
}

std::optional<Evaluation> evaluate(Module& model, DataLoader& loader, const LossFunction& loss,
                                   const std::function<bool()>& should_stop) {
  const EvaluationScope scope(model);
  const NoGradGuard no_grad;
  const Device device = device_of(model);
  StepResults results(device);
  for (const Batch& batch : loader.epoch(0)) {
    if (should_stop()) {
      return std::nullopt;
    }
    const Batch moved = on_device(batch, device);
    const Tensor output = model(moved.images);
    const Tensor value = mean_loss(loss, output, moved, 0.0, {});
    if (loss) {
      results.add(value, moved.images.size(0));
    } else {
      results.add(value, moved.images.size(0), output, moved.labels);
    }
  }
  const StepSummary sums = results.read_pending();
  return Evaluation{.loss = sums.loss,
                    .accuracy = sums.images == 0 ? 0.0
                                                 : static_cast<double>(sums.correct) /
                                                       static_cast<double>(sums.images),
                    .images = sums.images};
}

}  // namespace detail

Evaluation evaluate(Module& model, DataLoader& loader, const LossFunction& loss) {
  return detail::evaluate(model, loader, loss, [] { return false; }).value();
}

}  // namespace cks
