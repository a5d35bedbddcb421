#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "apps/cli/console.h"
#include "apps/cli/flags.h"
#include "apps/run/ranks.h"
#include "cks/core/ops/image_batch.h"
#include "cks/core/optim/lr_schedule.h"
#include "cks/core/optim/optimizer.h"
#include "cks/core/optim/weight_average.h"
#include "cks/layers/module.h"
#include "cks/train/trainer.h"

namespace cks::apps {

constexpr const char* kNoPreset = "none";

/// Flags that every training program has. A program changes the defaults before it adds them.
struct TrainFlags {
  std::string model;
  bool list_models = false;
  std::string preset;        // that filled flags in; empty or kNoPreset: none
  std::string init_weights;  // file; empty: drawn from the seed
  std::string freeze;        // patterns of parameters; empty: none

  std::int64_t epochs = 10;
  std::int64_t batch_size = 128;
  std::int64_t eval_batch_size = 1000;
  std::string optimizer = "adam";
  double lr = 1e-3;
  double momentum = 0.9;
  bool nesterov = false;
  bool cycle_momentum = false;
  double weight_decay = 0.0;
  std::string lr_scheduler = "constant";
  double lr_warmup_epochs = 0.0;
  std::int64_t lr_step_epochs = 30;
  double lr_gamma = 0.1;
  std::string class_weights = "none";
  WeightAverageOptions average{.decay = 0.0};  // 0: none
  bool drop_last = false;
  ImageAugmentation augment{};

  std::int64_t seed = 1;
  std::string device = "auto";
  std::string precision = "fp32";
  RankFlags ranks{};
  std::int64_t threads = 0;  // 0: all usable cores
  bool no_graph = false;
  bool dry_run = false;
  double val_share = 0.0;  // 0: no validation half but the data's own
  std::int64_t val_seed = 1;

  std::string output_dir;
  std::optional<std::string> resume;
  std::string config;  // file that flags were taken from; empty: none
  std::int64_t runs = 1;
  double target_accuracy = 0.0;
  TrainOptions options{};  // those that a flag sets as it stands

  OutputFlags output{};
  std::string conv_plan;  // of ConvPlanScope
  bool tune = false;      // ConvTuning
};

/// Adds them in groups. Model names come from the registry.
void add_train_flags(Flags& flags, TrainFlags& values);

/// True if the learning rate depends on how many epochs the run has.
bool spans_run(const std::string& lr_scheduler);

/// Names of the flags that a resumed run may change; every other one comes from the folder. With a
/// schedule that spans the run `epochs` is none of them.
const std::set<std::string>& flags_free_on_resume();

std::unique_ptr<Optimizer> make_optimizer(const TrainFlags& flags, const Module& model);
/// Throws UsageError for flags that do not go together.
LrFactor make_lr_factor(const TrainFlags& flags, std::int64_t steps_per_epoch);
/// Empty where the momentum stays. Throws UsageError likewise.
MomentumCurve make_momentum(const TrainFlags& flags, std::int64_t steps_per_epoch);

/// "adam, learning rate 0.001" and "cosine over 4690 steps" for people and for checkpoints.
std::string describe_optimizer(const TrainFlags& flags);
std::string describe_schedule(const TrainFlags& flags, std::int64_t steps_per_epoch);

/// Names, what they are and the images they were made for, for --list-models.
std::string list_classifiers();

}  // namespace cks::apps
