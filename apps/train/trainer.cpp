#include "cks/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/io/safetensors.h"
#include "cks/core/memory/storage.h"
#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/number_text_impl.h"
#include "cks/train/step_impl.h"
#include "cks/train/train_step_impl.h"

namespace cks {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// "1 epoch", "2 epochs".
std::string count_text(std::int64_t count, const char* noun) {
  return formatted("{} {}{}", count, noun, count == 1 ? "" : "s");
}

class Trainer {
 public:
  Trainer(const TrainTask& task, const TrainOptions& options)
      : task_(task),
        options_(options),
        files_(options.files),
        callbacks_(options.callbacks),
        model_(task.model),
        optimizer_(task.optimizer),
        train_loader_(task.train_loader),
        schedule_(task.optimizer, task.lr_factor, task.momentum),
        device_(detail::device_of(task.model)),
        parallel_(task, options, device_),
        folder_(parallel_.is_first() ? options.files.folder : nullptr) {
    detail::check_options(options);
    if (model_.parameters().empty()) {
      throw Error("fit: the model has no parameters to train");
    }
    step_.emplace(task, options, parallel_);
    if (options.weight_average) {
      NamedTensors weights = model_.named_parameters();
      const NamedTensors buffers = model_.named_buffers();
      weights.insert(weights.end(), buffers.begin(), buffers.end());
      average_.emplace(std::move(weights), *options.weight_average);
    }
    ops::require_precision("fit", device_);
    state_.precision = name_of(options.precision);
    state_.identity = detail::run_identity(task, options);
    parallel_.require_same_start(task, state_.identity);
  }

  TrainSummary run();
  /// Tells the other ranks.
  void give_up(const std::string& why) { parallel_.ranks().fail(why); }

 private:
  void resume();
  void train_epoch();
  Batch next_batch();
  void queue_step();
  void run_step(const Batch& batch);
  /// With the averages in the model, if there are any.
  void with_averages(const std::function<void()>& body) {
    average_ ? average_->with_averages(body) : body();
  }
  WeightAverage* average() { return average_ ? &*average_ : nullptr; }
  bool should_look() const;
  void look();
  [[noreturn]] void stop_at_bad_step(const StepSummary& results);
  void finish_epoch();
  void test_best();
  void save();  // where there is a folder
  void note_plans(const std::vector<ConvRecord>& records);
  void report_step(const StepSummary& results);
  bool asks_to_stop() const { return callbacks_.should_stop && callbacks_.should_stop(); }
  /// Of any rank. All ask after the same step.
  bool should_stop() { return parallel_.any(asks_to_stop()); }
  bool lost_patience() const {
    return options_.patience > 0 && state_.epoch - state_.best_epoch >= options_.patience;
  }
  const char* accuracy_note() const {
    return task_.val_loader != nullptr ? "val_accuracy" : "test_accuracy";
  }
  DataLoader& evaluated_loader() const {
    return task_.val_loader != nullptr ? *task_.val_loader : task_.test_loader;
  }
  bool at_step_limit() const { return options_.max_steps > 0 && state_.step >= options_.max_steps; }
  void note(const std::string& text) const {
    if (callbacks_.on_note) {
      callbacks_.on_note(text);
    }
  }
  double elapsed() const { return seconds_before_ + seconds_since(begin_); }

  const TrainTask& task_;
  const TrainOptions& options_;
  const TrainFiles& files_;
  const TrainCallbacks& callbacks_;
  Module& model_;
  Optimizer& optimizer_;
  DataLoader& train_loader_;
  LrSchedule schedule_;
  const Device device_;
  detail::DataParallel parallel_;
  const RunFolder* const folder_;          // where this rank writes
  std::optional<detail::TrainStep> step_;  // once the options are known to be good
  std::optional<WeightAverage> average_;

  TrainState state_;
  TrainSummary summary_;
  Batch only_batch_;           // of overfit_batch
  NamedTensors best_weights_;  // to be tested, where no folder has them
  Clock::time_point begin_ = Clock::now();
  double seconds_before_ = 0.0;
  bool stopped_ = false;
  bool epoch_is_cut_ = false;  // by the step limit
  bool plans_noted_ = false;
  // Steps that are queued and not looked at.
  std::int64_t queued_ = 0;
  std::int64_t queued_images_ = 0;
  std::int64_t last_images_ = 0;           // of the last of them
  std::int64_t steps_per_look_ = 1;        // of several ranks, who look after the same step
  Clock::time_point mark_ = Clock::now();  // since then the time is theirs
  // Where the epoch, or what is left of it, began.
  std::int64_t first_step_ = 0;
  std::int64_t first_batch_ = 0;
  // Of this process, for rates.
  double step_seconds_ = 0.0;
  double epoch_step_seconds_ = 0.0;
  double last_test_seconds_ = 0.0;
  std::int64_t steps_here_ = 0;
  std::int64_t epoch_images_ = 0;
};

void Trainer::resume() {
  const RunFolder& folder = *folder_;
  if (!folder.has_state()) {
    note(formatted("no checkpoint in {} yet: starting at the first step", folder.path()));
    folder.truncate_metrics(0);
    return;
  }
  state_ = load_train_state(folder.state_file(), model_, optimizer_, state_.identity, average());
  folder.truncate_metrics(state_.epoch);
  const std::string done = count_text(state_.epoch, "epoch");
  const std::int64_t batches = train_loader_.batches_per_epoch();
  note(formatted("resumed {} after {}", folder.state_file(), done) +
       (state_.batch == 0 ? std::string()
                          : formatted(" and {} of {}", state_.batch, count_text(batches, "step"))));
  if (const char* now = name_of(options_.precision); state_.precision != now) {
    note(formatted("computed in {} so far, from here on in {}", state_.precision, now));
    state_.precision = now;
  }
  if (state_.epoch >= options_.epochs) {
    note(
        formatted("nothing is left to do after {}; more epochs go on from there, unless the "
                  "schedule ends with these",
                  done));
  } else if (at_step_limit()) {
    note(formatted("nothing is left to do after {}; a greater max_steps goes on from there",
                   count_text(state_.step, "step")));
  }
}

TrainSummary Trainer::run() {
  const std::shared_ptr<const void> lock = folder_ != nullptr ? folder_->lock() : nullptr;
  if (files_.resume) {
    if (folder_ != nullptr) {
      resume();
    }
    parallel_.share(model_, optimizer_, average(), state_);
    schedule_.set_step(state_.step);
    seconds_before_ = state_.seconds;
  }
  if (!files_.resume || (folder_ != nullptr && !folder_->has_state())) {
    save();  // from now on there is always a state to come back to
  }
  begin_ = Clock::now();
  while (!stopped_ && state_.epoch < options_.epochs && !at_step_limit() && !lost_patience()) {
    train_epoch();
    if (!stopped_) {
      // An epoch that the step limit ends early: a run that goes on beyond it does the rest.
      if (at_step_limit() && state_.batch < train_loader_.batches_per_epoch()) {
        save();
        epoch_is_cut_ = true;
      }
      finish_epoch();
    }
  }
  save();
  if (average_) {
    average_->keep_averages();
  }
  summary_.stopped_early = !stopped_ && state_.epoch < options_.epochs && lost_patience();
  summary_.interrupted = stopped_ && state_.epoch < options_.epochs;
  if (task_.val_loader == nullptr) {
    summary_.test_accuracy = state_.test_accuracy;
    summary_.test_loss = state_.test_loss;
    summary_.best_test_accuracy = state_.best_test_accuracy;
  } else {
    summary_.validation = {.accuracy = state_.test_accuracy,
                           .loss = state_.test_loss,
                           .best_accuracy = state_.best_test_accuracy};
    if (!summary_.interrupted && state_.epoch > 0) {
      test_best();
    }
  }
  summary_.best_epoch = state_.best_epoch;
  summary_.epochs = state_.epoch;
  summary_.steps = state_.step;
  summary_.seconds = elapsed();
  summary_.images_per_second =
      state_.train_seconds > 0.0 ? static_cast<double>(state_.images) / state_.train_seconds : 0.0;
  summary_.device = device_.to_string();
  summary_.peak_resident_bytes = peak_resident_bytes();
  summary_.peak_tensor_bytes = memory_stats(device_).peak;
  return summary_;
}

/// Reads the test half with the weights of the best epoch; the model gets its own back.
void Trainer::test_best() {
  const NamedTensors last = model_.state_dict();
  std::optional<Evaluation> done;
  try {
    if (parallel_.is_first()) {
      model_.load_state_dict(folder_ != nullptr ? load_safetensors(folder_->best_file()).tensors
                                                : best_weights_);
    }
    parallel_.share(model_);
    done = detail::evaluate(model_, task_.test_loader, task_.loss, parallel_.ranks(),
                            [this] { return asks_to_stop(); });
  } catch (...) {
    model_.load_state_dict(last);
    throw;
  }
  model_.load_state_dict(last);
  summary_.interrupted = !done;  // a resumed run does it
  if (done) {
    summary_.test_loss = done->loss;
    summary_.test_accuracy = summary_.best_test_accuracy = done->accuracy;
  }
}

Batch Trainer::next_batch() {
  if (options_.overfit_batch) {
    if (!only_batch_.images.defined()) {
      only_batch_ = detail::on_device(train_loader_.make_batch(0, 0), device_);
    }
    return only_batch_;
  }
  std::optional<Batch> batch = train_loader_.next();
  if (!batch) {
    throw Error(
        formatted("fit: the loader has no batch {} of epoch {}", state_.batch, state_.epoch));
  }
  return *std::move(batch);
}

void Trainer::train_epoch() {
  model_.train();
  epoch_step_seconds_ = 0.0;
  epoch_images_ = 0;
  std::optional<ConvRecorder> recorder;
  if (options_.profile.convolutions || !plans_noted_) {
    recorder.emplace(ConvRecorderOptions{.check = options_.profile.convolutions &&
                                                  summary_.convolutions.empty()});
  }
  const auto keep_records = [&] {
    if (recorder) {
      for (const ConvRecord& record : recorder->records()) {
        add_record(summary_.convolutions, record);
      }
      recorder.reset();
    }
  };
  if (!options_.overfit_batch && !step_->makes_batches()) {
    train_loader_.seek(state_.epoch, state_.batch);
  }
  first_step_ = state_.step;
  first_batch_ = state_.batch;
  step_->start(state_.epoch, state_.batch, state_.running);
  mark_ = Clock::now();
  while (state_.batch < train_loader_.batches_per_epoch()) {
    queue_step();
    if (should_look()) {
      look();
    }
    if (recorder) {
      ++summary_.recorded_steps;
      if (!plans_noted_) {
        note_plans(recorder->records());
      }
      if (!options_.profile.convolutions) {
        keep_records();
      }
    }
    if ((parallel_.is_alone() || queued_ == 0) && should_stop()) {
      stopped_ = true;
      break;
    }
    if (at_step_limit()) {
      break;
    }
    if (folder_ != nullptr && files_.save_every_steps > 0 &&
        state_.step % files_.save_every_steps == 0) {
      look();
      save();
      mark_ = Clock::now();
    }
  }
  look();
  keep_records();
}

void Trainer::queue_step() {
  state_.learning_rate = schedule_.learning_rate();
  const std::int64_t batch_size = train_loader_.options().batch_size;
  std::int64_t images =
      std::min(batch_size, train_loader_.images_per_epoch() - state_.batch * batch_size);
  try {
    if (step_->makes_batches()) {
      step_->run_next(images);
    } else {
      const Batch batch = next_batch();
      images = batch.images.size(0);
      run_step(batch);
    }
  } catch (OutOfMemoryError& error) {
    optimizer_.zero_grad();
    error.append(formatted(
        "\n  a batch of {} images{} does not fit: make it smaller, or cut it into more pieces "
        "(TrainOptions::accumulation)",
        images,
        options_.accumulation > 1 ? formatted(" in {} pieces", options_.accumulation) : ""));
    throw;
  }
  if (average_) {
    average_->step(step_->skip());
  }
  schedule_.step();
  ++state_.step;
  ++state_.batch;
  ++queued_;
  queued_images_ += images;
  last_images_ = images;
}

void Trainer::run_step(const Batch& batch) {
  if (!options_.profile.modules) {
    step_->run(batch);
    return;
  }
  ModuleTimer timer(device_);
  step_->run(batch);
  merge_module_times(summary_.module_times, timer.times());
  ++summary_.timed_steps;
}

bool Trainer::should_look() const {
  return device_.is_cpu() || steps_here_ == 0 || at_step_limit() ||
         (parallel_.is_alone() ? seconds_since(mark_) >= options_.gpu.report_seconds
                               : queued_ >= steps_per_look_);
}

void Trainer::look() {
  if (queued_ == 0) {
    return;
  }
  const StepSummary results = step_->read();
  const double seconds = seconds_since(mark_);
  if (results.is_bad) {
    stop_at_bad_step(results);
  }
  state_.running = {
      .loss_sum = results.loss_sum, .correct = results.correct, .images = results.images};
  state_.images += queued_images_;
  state_.train_seconds += seconds;
  steps_here_ += queued_;
  if (!parallel_.is_alone() &&
      device_.is_cuda()) {  // what rank 0's clock says, before all of them look again
    steps_per_look_ = parallel_.same(std::max<std::int64_t>(
        1, std::llround(static_cast<double>(queued_) * options_.gpu.report_seconds / seconds)));
  }
  step_seconds_ += seconds;
  epoch_step_seconds_ += seconds;
  epoch_images_ += queued_images_;
  queued_ = 0;
  queued_images_ = 0;
  report_step(results);
  mark_ = Clock::now();
}

void Trainer::stop_at_bad_step(const StepSummary& results) {
  const std::int64_t bad_step = first_step_ + results.steps;
  schedule_.set_step(bad_step);
  const detail::StepFacts facts{bad_step + 1, schedule_.learning_rate(), results.loss,
                                results.gradient_norm};
  step_->release();
  const Batch batch = options_.overfit_batch
                          ? only_batch_
                          : train_loader_.make_batch(state_.epoch, first_batch_ + results.steps);
  if (!std::isfinite(results.loss)) {
    throw NonFiniteError(detail::describe_bad_loss(facts, model_, step_->pieces_of(batch)));
  }
  if (step_->is_captured() || state_.step > bad_step + 1) {
    step_->compute_gradients(batch);  // those there are of a step behind it, if of any
  }
  throw NonFiniteError(detail::describe_bad_gradient(facts, model_));
}

void Trainer::report_step(const StepSummary& results) {
  if (!callbacks_.on_step) {
    return;
  }
  const std::int64_t per_epoch = train_loader_.batches_per_epoch();
  const double mean_seconds = step_seconds_ / static_cast<double>(steps_here_);
  const std::int64_t epochs_left = options_.epochs - state_.epoch;
  const std::int64_t steps_left = epochs_left * per_epoch - state_.batch;
  callbacks_.on_step({.epoch = state_.epoch + 1,
                      .epochs = options_.epochs,
                      .step = state_.batch,
                      .steps_per_epoch = per_epoch,
                      .global_step = state_.step,
                      .images = last_images_,
                      .batch_loss = results.loss,
                      .loss = state_.running.mean_loss(),
                      .accuracy = state_.running.accuracy(),
                      .learning_rate = state_.learning_rate,
                      .gradient_norm = results.gradient_norm,
                      .images_per_second = static_cast<double>(epoch_images_) / epoch_step_seconds_,
                      .seconds_left = static_cast<double>(steps_left) * mean_seconds +
                                      static_cast<double>(epochs_left) * last_test_seconds_});
}

void Trainer::finish_epoch() {
  const Clock::time_point begin = Clock::now();
  std::optional<Evaluation> done;
  with_averages([&] {
    done = detail::evaluate(model_, evaluated_loader(), task_.loss, parallel_.ranks(),
                            [this] { return !at_step_limit() && asks_to_stop(); });
  });
  if (!done) {  // the state keeps the epoch as one whose last batch was trained on
    stopped_ = true;
    return;
  }
  const Evaluation& test = *done;
  last_test_seconds_ = seconds_since(begin);
  if (!std::isfinite(test.loss)) {
    with_averages([&] {
      throw NonFiniteError(detail::describe_bad_test_loss(state_.step, state_.epoch + 1, test.loss,
                                                          model_, evaluated_loader()));
    });
  }
  ++state_.epoch;
  state_.batch = 0;
  state_.test_loss = test.loss;
  state_.test_accuracy = test.accuracy;
  // The lower loss decides between equal accuracies, which few test images make common, and alone
  // where a loss of one's own has no accuracy. What a run that goes on from a cut epoch does not
  // know of is not better than what it knows.
  const bool is_equal = task_.loss || test.accuracy == state_.best_test_accuracy;
  const bool is_better =
      is_equal ? test.loss < state_.best_test_loss : test.accuracy > state_.best_test_accuracy;
  const bool is_best = state_.best_epoch == 0 || (is_better && !epoch_is_cut_);
  if (is_best) {
    state_.best_epoch = state_.epoch;
    state_.best_test_accuracy = test.accuracy;
    state_.best_test_loss = test.loss;
    if (task_.val_loader != nullptr && folder_ == nullptr && parallel_.is_first()) {
      with_averages([&] { best_weights_ = model_.state_dict(); });
    }
  }
  const EpochEvent event{
      .metrics = {.epoch = state_.epoch,
                  .step = state_.step,
                  .seconds = elapsed(),
                  .train_loss = state_.running.mean_loss(),
                  .train_accuracy = state_.running.accuracy(),
                  .test_loss = test.loss,
                  .test_accuracy = test.accuracy,
                  .learning_rate = state_.learning_rate,
                  .images_per_second =
                      epoch_step_seconds_ > 0.0
                          ? static_cast<double>(epoch_images_) / epoch_step_seconds_
                          : 0.0,
                  .peak_mib = static_cast<double>(peak_resident_bytes()) / (1024.0 * 1024.0),
                  .on_validation = task_.val_loader != nullptr},
      .epochs = options_.epochs,
      .is_best = is_best};
  state_.running = {};
  if (folder_ != nullptr) {
    const Communicator::Excuse writing(parallel_.ranks());
    // The state goes last: a run that dies in between does this epoch again, and the same way.
    folder_->append_metrics(event.metrics);
    if (is_best || files_.keep_epochs > 0) {
      detail::require_finite(model_, state_.step);
    }
    CheckpointInfo info = files_.info;
    info.notes["epoch"] = std::to_string(state_.epoch);
    info.notes[accuracy_note()] = detail::number_text(test.accuracy);
    if (is_best) {
      with_averages([&] { save_weights(folder_->best_file(), model_, info); });
    }
    if (files_.keep_epochs > 0) {
      with_averages([&] { save_weights(folder_->epoch_file(state_.epoch), model_, info); });
      folder_->remove_epoch_files(state_.epoch - files_.keep_epochs);
    }
    if (files_.save_every_epochs > 0 && state_.epoch % files_.save_every_epochs == 0 &&
        state_.epoch < options_.epochs) {
      save();
    }
  }
  if (callbacks_.on_epoch) {
    callbacks_.on_epoch(event);
  }
  stopped_ = stopped_ || should_stop();
}

void Trainer::save() {
  if (folder_ == nullptr) {
    return;
  }
  const Communicator::Excuse writing(parallel_.ranks());
  detail::require_finite(model_, state_.step);
  if (!epoch_is_cut_) {
    state_.seconds = elapsed();
    save_train_state(folder_->state_file(), model_, optimizer_, state_, average());
  }
  CheckpointInfo info = files_.info;
  info.notes["epoch"] = std::to_string(state_.epoch);
  info.notes["step"] = std::to_string(state_.step);
  if (state_.epoch > 0) {
    info.notes[accuracy_note()] = detail::number_text(state_.test_accuracy);
  }
  with_averages([&] { save_weights(folder_->last_file(), model_, info); });
}

void Trainer::note_plans(const std::vector<ConvRecord>& records) {
  plans_noted_ = true;
  TextFields plans;  // by what each was chosen for
  for (const ConvRecord& record : records) {
    plans[formatted("{} {}, {}", record.module_path, record.pass,
                    kernels::to_string(record.problem))] = record.plan.to_string();
  }
  for (const auto& [key, plan] : plans) {
    const std::string& before = state_.conv_plans.emplace(key, plan).first->second;
    if (before != plan) {
      note(
          formatted("convolution {} ran with \"{}\" before, runs with \"{}\" now (another kind of "
                    "processor?): results may differ in their last bits",
                    key, before, plan));
    }
  }
  if (folder_ != nullptr) {
    ConfigSections config = folder_->has_config() ? folder_->read_config() : ConfigSections{};
    config["conv_plans"] = state_.conv_plans;
    folder_->write_config(config);
  }
}

}  // namespace

TrainSummary fit(const TrainTask& task, const TrainOptions& options) {
  const PrecisionScope precision(options.precision);
  Trainer trainer(task, options);
  try {
    return trainer.run();
  } catch (const std::exception& error) {
    trainer.give_up(error.what());  // before what is queued on a GPU is waited for
    throw;
  }
}

}  // namespace cks
