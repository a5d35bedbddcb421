#include <algorithm>
#include <limits>

#include "cks/core/ops.h"
#include "cks/core/optim/clip_grad_norm.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/step_impl.h"
#include "cks/train/train_step_impl.h"

namespace cks::detail {
namespace {

/// Says how to do without a graph where one cannot be made.
void with_way_out(auto&& run) {
  try {
    run();
  } catch (const CaptureError& error) {
    throw CaptureError(
        formatted("fit: the training step cannot be recorded as a CUDA graph: {}\n  with "
                  "TrainGpu::capture = false it runs without one",
                  error.what()));
  }
}

}  // namespace

TrainStep::TrainStep(const TrainTask& task, const TrainOptions& options, DataParallel& parallel)
    : parallel_(parallel),
      options_(options),
      loss_(task.loss),
      model_(task.model),
      optimizer_(task.optimizer),
      loader_(task.train_loader),
      parameters_(model_.parameters()),
      device_(device_of(model_)),
      // A graph's convolutions are neither counted nor timed, nor are its modules.
      is_captured_(device_.is_cuda() && options.gpu.capture && !options.profile.convolutions &&
                   !options.profile.modules),
      makes_batches_(is_captured_ && !options.overfit_batch && !loader_.options().transform &&
                     loader_.options().device == device_),
      results_(device_) {
  if (!options.class_weights.empty()) {
    const auto classes = static_cast<std::int64_t>(options.class_weights.size());
    class_weights_ =
        Tensor::from_vector(options.class_weights, {classes}).to(DType::float32).to(device_);
  }
  if (makes_batches_) {
    position_ = loader_.position(0);
  }
}

void TrainStep::start(std::int64_t epoch, std::int64_t batch, const RunningMetrics& sums) {
  results_.reset({.loss_sum = sums.loss_sum,
                  .correct = sums.correct,
                  .images = sums.images,
                  .gradient_norm = results_.read().gradient_norm});
  if (makes_batches_ && batch < loader_.batches_per_epoch()) {
    position_.copy_(loader_.position(epoch, batch));
  }
}

std::vector<Batch> TrainStep::pieces_of(const Batch& batch) const {
  const Batch here = on_device(batch, device_);
  const std::int64_t images = here.images.size(0);
  const std::int64_t pieces = std::min(options_.accumulation, images);
  if (pieces <= 1) {
    return {here};
  }
  std::vector<Batch> all;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    all.push_back(part_of(here, images * piece / pieces, images * (piece + 1) / pieces));
  }
  return all;
}

void TrainStep::run_piece(const Batch& piece, bool is_first, GradientListener* listener) {
  const std::int64_t count = piece.images.size(0);
  const Tensor output = model_(piece.images);
  const Tensor loss = mean_loss(loss_, output, piece, options_.label_smoothing, class_weights_);
  if (is_first) {
    model_.zero_grad();  // the norm is that of all parameters, also of those the optimiser lacks
    optimizer_.zero_grad();
  }
  results_.add(loss, count, loss_ ? Tensor() : output, piece.labels);
  const double share = static_cast<double>(count) / static_cast<double>(piece.total);
  const GradientListenerScope listening(listener);
  (count == piece.total ? loss : loss * share).backward();
}

void TrainStep::compute_gradients(const Batch& batch, GradientListener* listener) {
  const BatchPartScope part(parallel_.part_of(batch.total));
  bool is_first = true;
  for (const Batch& piece : pieces_of(batch)) {
    run_piece(piece, is_first, listener);
    is_first = false;
  }
}

void TrainStep::body(const Batch& batch) {
  compute_gradients(batch, parallel_.listener(results_));
  parallel_.reduce(results_);
  const bool clips = options_.clip_grad_norm > 0.0;
  const ClippedNorm gradient = clip_grad_norm(
      parameters_, clips ? options_.clip_grad_norm : std::numeric_limits<double>::max());
  optimizer_.step(clips ? gradient.factor : Tensor(), results_.judge(gradient.norm));
}

TrainStep::Recorded& TrainStep::recorded(std::int64_t total, const Shape& images,
                                         DType images_dtype, const Shape& labels,
                                         DType labels_dtype) {
  Recorded& entry = recorded_[total];
  if (entry.step == nullptr) {
    entry.batch = {.images = Tensor::empty(images, images_dtype, device_),
                   .labels = Tensor::empty(labels, labels_dtype, device_),
                   .count = images[0],
                   .total = total,
                   .indices = {}};
    entry.step = std::make_unique<CapturedStep>(
        [this, &entry] {
          if (makes_batches_) {
            loader_.fill_batch(entry.batch.images, entry.batch.labels, position_,
                               entry.batch.total);
          }
          body(entry.batch);
        },
        device_);
  }
  if (device_.is_cuda() && !entry.step->recorded()) {
    parallel_.synchronize();  // it will allocate (see Communicator)
  }
  if (!(entry.batch.images.shape() == images) || !(entry.batch.labels.shape() == labels)) {
    throw CaptureError(formatted("a batch has images {} and labels {}, recorded were {} and {}",
                                 images, labels, entry.batch.images.shape(),
                                 entry.batch.labels.shape()));
  }
  return entry;
}

void TrainStep::run(const Batch& batch) {
  if (!is_captured_) {
    body(on_device(batch, device_));
    return;
  }
  with_way_out([&] {
    Recorded& entry = recorded(batch.total, batch.images.shape(), batch.images.dtype(),
                               batch.labels.shape(), batch.labels.dtype());
    entry.batch.images.copy_(batch.images);
    entry.batch.labels.copy_(batch.labels);
    entry.step->run();
  });
}

void TrainStep::run_next(std::int64_t images) {
  with_way_out([&] {
    const std::int64_t mine = loader_.options().share.count(images);
    recorded(images, loader_.dataset().images.shape().with(0, mine), DType::float32, {mine},
             DType::int64)
        .step->run();
  });
}

}  // namespace cks::detail
