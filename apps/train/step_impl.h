#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

// Looking for the first bad number of a step that must not be taken.

struct StepFacts {
  std::int64_t step = 0;  // from 1
  double learning_rate = 0.0;
  double loss = 0.0;
  double gradient_norm = -1.0;  // of this step, or of the one before if its loss is bad; -1: none
};

/// Message for a loss that is not finite. Runs the forward pass of each piece of the batch again,
/// without the tape, to find the first module whose output is bad.
std::string describe_bad_loss(const StepFacts& facts, Module& model,
                              const std::vector<Batch>& pieces);

/// Message for a gradient norm that is not finite: the first parameter that backward made bad,
/// which is the last one in the order of the forward pass.
std::string describe_bad_gradient(const StepFacts& facts, Module& model);

/// Message for a loss of the test images that is not finite after a step, likewise.
std::string describe_bad_test_loss(std::int64_t step, std::int64_t epoch, double loss,
                                   Module& model, DataLoader& test_loader);

/// Throws NonFiniteError, naming the first bad parameter or buffer, if there is one.
void require_finite(const Module& model, std::int64_t step);

}  // namespace cks::detail
