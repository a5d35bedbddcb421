#include "cks/core/autograd.h"
#include "cks/core/ops.h"
#include "cks/train/step_impl.h"
#include "cks/train/trainer.h"

namespace cks {

namespace detail {

Tensor mean_loss(const LossFunction& loss, const Tensor& output, const Batch& batch,
                 double label_smoothing) {
  return loss ? loss(output, batch)
              : cross_entropy(output, batch.labels, {.label_smoothing = label_smoothing});
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

}  // namespace detail

Evaluation evaluate(Module& model, DataLoader& loader, const LossFunction& loss) {
  struct ModeScope {
    Module& model;
    bool was_training = model.training();
    ~ModeScope() { model.train(was_training); }
  };
  const ModeScope scope{model};
  model.eval();
  const NoGradGuard no_grad;
  const Device device = detail::device_of(model);
  RunningMetrics sums;
  for (const Batch& batch : loader.epoch(0)) {
    const Batch moved = detail::on_device(batch, device);
    const Tensor output = model(moved.images);
    sums.add(detail::mean_loss(loss, output, moved, 0.0).item(),
             loss ? 0 : count_correct(output, moved.labels), moved.images.size(0));
  }
  return {.loss = sums.mean_loss(), .accuracy = sums.accuracy(), .images = sums.images};
}

}  // namespace cks
