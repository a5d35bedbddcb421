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

Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last) {
  Batch part = batch;
  part.images = batch.images.slice(first, last);
  part.labels = batch.labels.slice(first, last);
  part.count = last - first;
  if (!batch.indices.empty()) {
    part.indices.assign(batch.indices.begin() + first, batch.indices.begin() + last);
  }
  return part;
}

std::optional<Evaluation> evaluate(Module& model, DataLoader& loader, const LossFunction& loss,
                                   Communicator& ranks, const std::function<bool()>& should_stop) {
  const EvaluationScope scope(model);
  const NoGradGuard no_grad;
  const Device device = device_of(model);
  StepResults results(device);
  const BatchShare share{ranks.rank(), ranks.size()};
  bool stops = false;
  for (const Batch& batch : loader.epoch(0)) {
    if ((stops = should_stop())) {
      break;
    }
    const std::int64_t count = batch.images.size(0);
    const std::int64_t first = share.first(count);
    const Batch moved = on_device(
        ranks.size() == 1 ? batch : part_of(batch, first, first + share.count(count)), device);
    const std::int64_t images = moved.images.size(0);
    if (images == 0) {
      continue;
    }
    const Tensor output = model(moved.images);
    const Tensor value = mean_loss(loss, output, moved, 0.0, {});
    results.add(value, images, loss ? Tensor() : output, moved.labels);
    ranks.get_on();
  }
  const StepSummary mine = results.read_pending();
  Tensor sums = Tensor::from_vector<double>({mine.loss_sum, static_cast<double>(mine.correct),
                                             static_cast<double>(mine.images), stops ? 1.0 : 0.0},
                                            {4});
  ranks.all_reduce(sums);
  const std::vector<double> all = sums.to_vector<double>();
  if (all[3] > 0.0) {
    return std::nullopt;
  }
  const double images = all[2];
  return Evaluation{.loss = images == 0.0 ? 0.0 : all[0] / images,
                    .accuracy = images == 0.0 ? 0.0 : all[1] / images,
                    .images = static_cast<std::int64_t>(images)};
}

}  // namespace detail

Evaluation evaluate(Module& model, DataLoader& loader, const LossFunction& loss) {
  Communicator alone;
  return detail::evaluate(model, loader, loss, alone, [] { return false; }).value();
}

}  // namespace cks
