#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cks/core/capture/capture.h"
#include "cks/core/ops/step_results.h"
#include "cks/train/data_parallel_impl.h"
#include "cks/train/trainer.h"

namespace cks::detail {

/// One training step: forward, loss, backward, gradient norm, judgement, optimiser. It is queued as
/// a whole, on a GPU as a CUDA graph for each size of batch, and leaves what it came to on the
/// device. A step whose loss or gradient is not finite changes neither parameters nor optimiser,
/// and no step after it does.
class TrainStep {
 public:
  /// All must outlive it; the step runs where the model's parameters are.
  TrainStep(const TrainTask& task, const TrainOptions& options, DataParallel& parallel);

  /// Whether steps are recorded as CUDA graphs.
  bool is_captured() const { return is_captured_; }
  /// Whether a step makes its batch itself, from the loader's copy of the dataset: then
  /// run_next(), otherwise run().
  bool makes_batches() const { return makes_batches_; }

  /// Begins at a batch of an epoch, with the sums so far.
  void start(std::int64_t epoch, std::int64_t batch, const RunningMetrics& sums);
  /// Queues a step. Throws what model and loss throw; CaptureError with a way out of it.
  void run(const Batch& batch);
  /// Of a batch of `images` in all.
  void run_next(std::int64_t images);
  /// What the steps since start() came to, sums of before included. Waits for them.
  StepSummary read() const {
    parallel_.synchronize();
    return results_.read();
  }

  /// Of the last step queued, on the device: 1 if it was not taken (StepResults::skip).
  const Tensor& skip() const { return results_.skip(); }

  /// Forgets what was recorded, and gives its memory back.
  void release() { recorded_.clear(); }
  /// The pieces that a batch is cut into, on this step's device.
  std::vector<Batch> pieces_of(const Batch& batch) const;
  /// Forward, loss and backward of this rank's part of a batch: the step without judgement and
  /// optimiser.
  void compute_gradients(const Batch& batch, GradientListener* listener = nullptr);

 private:
  struct Recorded {
    Batch batch;  // tensors that the graph reads
    std::unique_ptr<CapturedStep> step;
  };

  void body(const Batch& batch);
  /// Forward, loss and backward of a piece of a batch; its results are added.
  void run_piece(const Batch& piece, bool is_first, GradientListener* listener);
  /// For batches of `total` images, of which this rank has those of the shape.
  Recorded& recorded(std::int64_t total, const Shape& images, DType images_dtype,
                     const Shape& labels, DType labels_dtype);

  DataParallel& parallel_;
  const TrainOptions& options_;
  const LossFunction& loss_;
  Module& model_;
  Optimizer& optimizer_;
  const DataLoader& loader_;
  const std::vector<Tensor> parameters_;
  const Device device_;
  const bool is_captured_;
  const bool makes_batches_;
  StepResults results_;
  Tensor class_weights_;                       // undefined: all are 1
  Tensor position_;                            // of the loader, where the step makes batches
  std::map<std::int64_t, Recorded> recorded_;  // by images of a whole batch
};

}  // namespace cks::detail
