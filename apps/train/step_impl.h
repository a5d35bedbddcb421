#pragma once
#include <functional>
#include <optional>

#include "cks/core/distributed/communicator.h"
#include "cks/train/trainer.h"

/// What fit(), its steps and an evaluation share.
namespace cks::detail {

/// Throws Error, naming the option and its range, unless all are lawful.
void check_options(const TrainOptions& options);

/// What a resumed run must share with the one that was saved: the caller's identity, and what fit()
/// knows itself.
TextFields run_identity(const TrainTask& task, const TrainOptions& options);

/// The caller's loss, or cross-entropy with label smoothing and, unless undefined, class weights.
Tensor mean_loss(const LossFunction& loss, const Tensor& output, const Batch& batch,
                 double label_smoothing, const Tensor& class_weights);

/// Where the parameters live.
Device device_of(const Module& model);
Batch on_device(Batch batch, Device device);
/// Images [first, last) of a batch; shares memory.
Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last);

/// As cks::evaluate(), each rank taking its share of every batch; nothing if `should_stop`, asked
/// before every batch, ended it on any of them.
std::optional<Evaluation> evaluate(Module& model, DataLoader& loader, const LossFunction& loss,
                                   Communicator& ranks, const std::function<bool()>& should_stop);

/// A model in evaluation mode, until the end of the scope.
class EvaluationScope {
 public:
  explicit EvaluationScope(Module& model) : model_(model), was_training_(model.training()) {
    model.eval();
  }
  ~EvaluationScope() { model_.train(was_training_); }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  Module& model_;
  const bool was_training_;
};

/// Takes the hook of a model away at the end of the scope.
struct HookScope {
  Module& model;
  ~HookScope() { model.set_forward_hook({}); }
};

}  // namespace cks::detail
