#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cks/core/conv/conv_report.h"
#include "cks/core/distributed/communicator.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/core/optim/optimizer.h"
#include "cks/core/optim/weight_average.h"
#include "cks/core/profile/module_timer.h"
#include "cks/datasets/data_loader.h"
#include "cks/layers/module.h"
#include "cks/train/checkpoint.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"

namespace cks {

/// A loss or gradient is not finite. The message names the step, learning rate, gradient norm and
/// the first module whose output (or parameter whose gradient) is bad; of the test loss the step
/// and the module.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

/// The mean loss of a batch; a tensor of one element on the tape. In a step that is a CUDA graph
/// the batch has images, labels and count alone: the rest would be that of the step that was
/// recorded.
using LossFunction = std::function<Tensor(const Tensor& output, const Batch& batch)>;

/// What fit() trains, and on what. All must outlive the call.
///
/// With a `val_loader` that half is evaluated after each epoch and decides which one is the best;
/// the test half is read once, when the run has come to its end, with the weights of the best
/// epoch. Without one the test half decides, and the best epoch's accuracy on it is a little too
/// good.
///
///   fit({.model = net, .optimizer = adam, .train_loader = loader, .test_loader = test_loader,
///        .lr_factor = cosine_lr(3 * loader.batches_per_epoch())},
///       {.epochs = 3});
struct TrainTask {
  Module& model;
  Optimizer& optimizer;  // of the model's parameters, or of some of them
  DataLoader& train_loader;
  DataLoader& test_loader;
  /// The learning rate of step s, from 0, is the optimiser's initial one times lr_factor(s).
  LrFactor lr_factor = constant_lr();
  /// Moves the momentum beside the learning rate (see one_cycle_momentum); empty: it stays.
  MomentumCurve momentum{};
  LossFunction loss{};               // empty: cross-entropy from logits
  DataLoader* val_loader = nullptr;  // null: there is no validation half
};

/// After a step, or on a GPU after several (TrainGpu::report_seconds): what is said of a step
/// is then said of the last of them. Loss and accuracy are those of the epoch so far.
struct StepEvent {
  std::int64_t epoch = 0;  // from 1
  std::int64_t epochs = 0;
  std::int64_t step = 0;  // of this epoch, from 1
  std::int64_t steps_per_epoch = 0;
  std::int64_t global_step = 0;
  std::int64_t images = 0;  // of this step
  double batch_loss = 0.0;
  double loss = 0.0;
  double accuracy = 0.0;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;  // before clipping
  double images_per_second = 0.0;
  double seconds_left = 0.0;
};

/// An epoch that has ended, its evaluation included.
struct EpochEvent {
  EpochMetrics metrics{};
  std::int64_t epochs = 0;
  bool is_best = false;
};

/// What fit() calls while it runs; each may be left out.
struct TrainCallbacks {
  std::function<void(const StepEvent&)> on_step{};
  std::function<void(const EpochEvent&)> on_epoch{};
  /// What people should know: a resume, plans that changed.
  std::function<void(const std::string&)> on_note{};
  /// Asked after every step that was queued (where several ranks train, after those that are
  /// reported; one that says true is enough), before every batch of an evaluation (but for the one
  /// that max_steps ends with) and after every epoch; true: save and end the run. An epoch whose
  /// evaluation is cut short does not count: a resumed run evaluates it from the beginning.
  std::function<bool()> should_stop{};
};

/// What a run writes and goes on from.
struct TrainFiles {
  /// Where files go, those of several ranks where rank 0 says; null: nothing is written. Its
  /// config.json is the caller's, fit() adds the section "conv_plans".
  const RunFolder* folder = nullptr;
  /// Continue from the folder's last.state.safetensors, if there is one.
  bool resume = false;
  std::int64_t save_every_epochs = 1;  // the last checkpoint; 0: only when the run ends
  std::int64_t save_every_steps = 0;   // and within epochs; 0: never
  /// Keep the weights after each of the last so many epochs (RunFolder::epoch_file); 0: none.
  std::int64_t keep_epochs = 0;
  CheckpointInfo info{};  // metadata of the files of weights
  /// What a resumed run must share with the one that was saved (model, dataset, optimiser ...).
  /// fit() adds what it knows itself: batch size, seed, number and statistics of the images,
  /// learning rate and its own options. A schedule is a function and cannot be compared: name it
  /// here.
  TextFields identity{};
};

/// What a run measures on the way, in steps that are no CUDA graphs.
struct TrainProfile {
  /// Record every convolution of the run, with its error against the reference in the first epoch;
  /// otherwise only those of the first step, without errors.
  bool convolutions = false;
  /// Time the operations of every module (TrainSummary::module_times). On a GPU the host then waits
  /// after each step.
  bool modules = false;
};

/// How steps run on a GPU; on the CPU this says nothing: each step is reported.
struct TrainGpu {
  /// Run each step as a CUDA graph (see CapturedStep), with the same numbers. Needs false where a
  /// model or loss reads values on the host, changes shapes, or branches or computes with numbers
  /// of the host that change from step to step: a graph repeats those it was recorded with.
  bool capture = true;
  /// Seconds that may pass before the host waits for the steps it has queued, looks at their
  /// results and reports the last; 0: after each step.
  double report_seconds = 0.05;
};

/// How several ranks train one model together: each calls fit() with a model, an optimiser and
/// loaders of its own, all with the same options, on its device. The training loader makes the
/// rank's share of each batch (DataLoaderOptions::share), the others are whole.
///
///   run_ranks({Device::cuda(0), Device::cuda(1)}, [](Communicator& ranks) {
///     ...; DataLoader loader(train, {.batch_size = 512, .device = ranks.device(),
///                                    .share = {ranks.rank(), ranks.size()}});
///     fit(task, {.parallel = {.communicator = &ranks}});
///   });
///
/// A step is that of the whole batch: gradients, losses and counts are summed over the ranks, and
/// rank 0 alone writes files. What a rank throws makes the others throw RankError.
struct TrainParallel {
  Communicator* communicator = nullptr;  // must outlive the call; null: one rank
  /// Batch normalisation takes its statistics from the whole batch, as one rank would. Otherwise
  /// each rank normalises with its own share's, and the running statistics are their mean.
  bool sync_batch_norm = false;
  /// Gradients travel in groups of so many bytes, each while the backward pass makes the next.
  std::int64_t bucket_bytes = 8 << 20;
  /// Copies all gradients into one buffer that NCCL has registered, and reduces them there, instead
  /// of where they are. Needs parameters of float32.
  bool registered_buffer = false;
};

/// How fit() trains.
struct TrainOptions {
  std::int64_t epochs = 10;
  /// End the run after so many steps in all, with an evaluation; 0: no limit. A run that is resumed
  /// with a greater limit goes on behind the last step.
  std::int64_t max_steps = 0;
  /// End the run after so many epochs in a row that were not the best so far; 0: never.
  std::int64_t patience = 0;
  /// How the run multiplies, in training and evaluation. In bf16 activations and their gradients
  /// are bfloat16; weights, statistics, losses and the optimiser's state stay float32.
  Precision precision = Precision::fp32;
  double label_smoothing = 0.0;  // of the default loss, in training only
  /// Of the default loss, in training only: what an image counts by its class (see
  /// balanced_class_weights()); empty: all count 1.
  std::vector<double> class_weights{};
  double clip_grad_norm = 0.0;    // 0: gradients are not clipped
  std::int64_t accumulation = 1;  // pieces that a batch is cut into, to hold less at a time
  bool overfit_batch = false;     // train on the first batch of the first epoch alone
  /// Averages parameters and floating buffers along the way. Evaluations, files of weights and the
  /// model that fit() leaves have the averages; a run goes on from both.
  std::optional<WeightAverageOptions> weight_average{};
  TrainFiles files{};
  TrainProfile profile{};
  TrainGpu gpu{};
  TrainParallel parallel{};
  TrainCallbacks callbacks{};
};

/// What the validation half came to.
struct ValidationSummary {
  double accuracy = 0.0;  // after the last complete epoch
  double loss = 0.0;
  double best_accuracy = 0.0;
};

/// What fit() returns.
struct TrainSummary {
  /// After the last complete epoch; of a run with a validation half with the weights of the best
  /// epoch, once it has come to its end.
  double test_accuracy = 0.0;
  double test_loss = 0.0;
  double best_test_accuracy = 0.0;  // of an epoch; with a validation half that is test_accuracy
  std::optional<ValidationSummary> validation{};
  std::int64_t best_epoch = 0;
  std::int64_t epochs = 0;  // complete ones
  std::int64_t steps = 0;
  double seconds = 0.0;            // of the whole run, pauses between resumes left out
  double images_per_second = 0.0;  // of training steps
  std::string device;
  std::int64_t peak_resident_bytes = 0;  // of the process
  std::int64_t peak_tensor_bytes = 0;    // of the device's allocator
  bool interrupted = false;              // should_stop() ended it before its end
  bool stopped_early = false;            // TrainOptions::patience did
  std::vector<ConvRecord> convolutions;  // sums over the steps that were recorded
  std::int64_t recorded_steps = 0;
  std::vector<ModuleTime> module_times;  // sums over the steps that were timed
  std::int64_t timed_steps = 0;

  /// Whether the test half was read.
  bool is_tested() const { return epochs > 0 && !(validation && interrupted); }
  /// Of the half that the run is judged by: validation, or test without one.
  double last_accuracy() const { return validation ? validation->accuracy : test_accuracy; }
  double best_accuracy() const {
    return validation ? validation->best_accuracy : best_test_accuracy;
  }
};

/// Trains a classifier (or anything that `task.loss` can judge) and evaluates it after each epoch.
/// It runs where the model's parameters are: move the model before its optimiser is made; batches
/// that the loader does not make there are copied there. A run may be resumed on another device.
///
/// A step whose loss or gradient is not finite is not taken: NonFiniteError, and the folder keeps
/// the last good checkpoint; nor is an epoch counted whose test loss is not finite. After any
/// exception parameters and optimiser are as before the step; a GPU, where the host sees a bad step
/// late, leaves out the steps behind it as well. A resumed run ends with the same bits as an
/// uninterrupted one.
///
/// Throws  DeviceError if the device lacks the precision; NonFiniteError; OutOfMemoryError with the
/// size of the batch; CaptureError if a GPU
///         cannot repeat the step as a graph; IoError if a file cannot be written or another
///         process writes into the folder; Error if the checkpoint to resume is of another run;
///         what the model throws; of several ranks RankError where another one failed, and Error,
///         naming it, where another one has another program, model, data or options.
TrainSummary fit(const TrainTask& task, const TrainOptions& options = {});

/// What evaluate() finds.
struct Evaluation {
  double loss = 0.0;      // mean over images, without label smoothing
  double accuracy = 0.0;  // 0 with a loss of one's own: then labels need not be classes
  std::int64_t images = 0;
};

/// Mean loss and accuracy over all batches of a loader, in evaluation mode and off the tape; the
/// model's mode is restored.
Evaluation evaluate(Module& model, DataLoader& loader, const LossFunction& loss = {});

/// Writes a summary with `extra` fields, and objects of numbers by name, beside it as JSON; the
/// file is replaced at once.
void write_summary(const std::string& path, const TrainSummary& summary,
                   const TextFields& extra = {},
                   const std::map<std::string, NumberFields>& numbers = {});

/// Reads it back, without the extra fields and the records that it leaves out. Throws IoError,
/// naming the file and the field.
TrainSummary read_summary(const std::string& path);

}  // namespace cks
