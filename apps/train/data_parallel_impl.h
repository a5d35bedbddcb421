#pragma once
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/device/stream.h"
#include "cks/core/distributed/batch_part.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/ops/step_results.h"
#include "cks/train/trainer.h"

namespace cks::detail {

/// What makes fit() the same on several ranks as on one: shares batches, sums gradients, keeps the
/// ranks in step. For a single rank every call does nothing.
///
/// Gradients travel in groups while the backward pass goes on: from the order in which it makes
/// them, which all ranks share, follows which belong together. On a GPU that is a stream of its
/// own, which a captured step records as a branch.
class DataParallel : private GradientListener {
 public:
  /// Throws Error for a loader with another share, DeviceError for a model on another device.
  DataParallel(const TrainTask& task, const TrainOptions& options, Device device);

  bool is_alone() const { return ranks_.size() == 1; }
  /// Whether this rank writes files.
  bool is_first() const { return ranks_.rank() == 0; }
  Communicator& ranks() { return ranks_; }

  /// Throws Error, naming the rank and what differs, unless all ranks train the same: program,
  /// model, data, and the options that `identity` says.
  void require_same_start(const TrainTask& task, const TextFields& identity);

  // --- Within a step -----------------------------------------------------------------------------
  /// This rank's part of a batch of `total` images.
  BatchPart part_of(std::int64_t total);
  /// For the backward pass that completes the gradients of the step, whose results have been added
  /// to `results`: they are all summed up when it ends. Null where listening would be too early,
  /// since the batch comes in pieces; reduce() is called behind them in any case.
  GradientListener* listener(StepResults& results);
  void reduce(StepResults& results);

  // --- Between steps -----------------------------------------------------------------------------
  /// Waits for the device, or for a rank to be given up.
  void synchronize() {
    if (!is_alone()) {
      ranks_.synchronize();
    }
  }
  /// Whether any rank says yes. All ask after the same step.
  bool any(bool yes);
  /// Rank 0's number.
  std::int64_t same(std::int64_t number);
  /// Gives all ranks what rank 0 has.
  void share(Module& model);
  void share(Module& model, Optimizer& optimizer, WeightAverage* average, TrainState& state);

 private:
  void on_gradient(const Tensor& leaf, Tensor& gradient) override;
  void on_end() override;
  NamedTensors shared(NamedTensors tensors);
  void send(std::vector<Tensor>& sums, std::vector<Tensor> means = {});

  Communicator alone_;
  Communicator& ranks_;
  const TrainParallel& options_;
  const bool comes_in_pieces_;
  const BatchShare share_;
  const std::vector<Tensor> parameters_;
  std::unordered_set<const TensorImpl*> is_parameter_;
  std::vector<Tensor> statistics_;  // of batch normalisation, each rank's own
  Stream stream_;                   // on which gradients travel
  StepResults* results_ = nullptr;
  std::vector<Tensor> bucket_;  // gradients that wait for more
  std::int64_t bucket_bytes_ = 0;
  // With a registered buffer, where the gradients of a step lie one after the other; the bucket is
  // its part [sent_, filled_).
  struct Slot {
    Tensor leaf, gradient;
  };
  Tensor buffer_;
  std::int64_t sent_ = 0;
  std::int64_t filled_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace cks::detail
