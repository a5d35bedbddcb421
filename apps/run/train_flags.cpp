#include "apps/run/train_flags.h"

#include <cmath>

#include "apps/cli/device_flag.h"
#include "apps/cli/program.h"
#include "apps/cli/recipes.h"
#include "apps/report/text_table.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/sgd.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/models/registry.h"

namespace cks::apps {
namespace {

// Beyond these a number is a slip of the keyboard, and products of two would overflow.
constexpr std::int64_t kMostEpochs = 1'000'000;
constexpr std::int64_t kMostImages = 1 << 24;  // of a batch
constexpr double kLargest = 1e30;              // a float has no more

constexpr double kLowMomentum = 0.85;
constexpr double kHighMomentum = 0.95;

std::int64_t warmup_steps(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  return std::llround(flags.lr_warmup_epochs * static_cast<double>(steps_per_epoch));
}

void add_training_flags(Flags& flags, TrainFlags& values) {
  flags.group("Training");
  flags.add_choice("model", values.model, classifier_names(), "which network");
  flags.add_switch("list-models", values.list_models, "print the networks and exit");
  flags.add_path(
      "init-weights", values.init_weights,
      "file of weights to begin with, of CKS or PyTorch; a head of other classes is left out");
  flags.add("freeze", values.freeze,
            "parameters to leave as they are: patterns such as conv*,fc1.bias of their names or "
            "their layers'");
  flags.add("epochs", values.epochs, "passes over the training images", 1, kMostEpochs);
  flags.add("batch-size", values.batch_size, "images of one step", 1, kMostImages);
  flags.add_switch("drop-last", values.drop_last,
                   "leave out an epoch's last batch if it is not full");
  flags.add("accum", values.options.accumulation, "pieces a batch is cut into, to need less memory",
            1, kMostImages);
  flags.add("eval-batch-size", values.eval_batch_size, "images at once in evaluation", 1,
            kMostImages);
  flags.add_choice("opt", values.optimizer, {"sgd", "adam", "adamw"}, "optimiser");
  flags.add("lr", values.lr, "learning rate; the highest one of a schedule", 0.0, kLargest);
  flags.add("momentum", values.momentum, "of sgd", 0.0, 1.0);
  flags.add_switch("nesterov", values.nesterov, "Nesterov momentum for sgd");
  flags.add_switch(
      "cycle-momentum", values.cycle_momentum,
      "with onecycle, sgd's momentum falls from 0.95 to 0.85 while the rate rises, and rises back");
  flags.add("wd", values.weight_decay, "weight decay, of all parameters", 0.0, kLargest);
  flags.add_choice("lr-scheduler", values.lr_scheduler, {"constant", "step", "cosine", "onecycle"},
                   "how the learning rate moves");
  flags.add("lr-step-epochs", values.lr_step_epochs,
            "with step: epochs between two cuts of the rate", 1, kMostEpochs);
  flags.add("lr-gamma", values.lr_gamma, "with step: factor of each cut", 0.0, kLargest);
  flags.add("lr-warmup-epochs", values.lr_warmup_epochs,
            "epochs in which the rate rises from 0; not for onecycle", 0.0,
            static_cast<double>(kMostEpochs));
  flags.add("label-smoothing", values.options.label_smoothing,
            "share of the target that is spread over all classes", 0.0, 0.99);
  flags.add_choice("class-weights", values.class_weights, {"none", "balanced"},
                   "balanced: in training an image counts the more, the fewer there are of its "
                   "class");
  flags.add("weight-average", values.average.decay,
            "test and keep an exponential moving average of the weights, of which so much stays in "
            "each step, such as 0.99; 0: the weights themselves",
            0.0, 1.0 - 1e-9);
  flags.add("average-every", values.average.every,
            "of the average: steps from one update to the next", 1);
  flags.add_switch("look-ahead", values.average.look_ahead,
                   "put the weights back onto the average at each of its updates");
  flags.add("clip-grad-norm", values.options.clip_grad_norm,
            "largest norm of the gradient; 0: any");
  constexpr double kMostShare = 1.0 - 1e-6;
  flags.add("val-share", values.val_share,
            "share of each class of the training images to choose the best epoch on, so that the "
            "test images are read once, at the end; 0: a folder's own val/, or else the best epoch "
            "is chosen on the test images",
            0.0, kMostShare);
  flags.add("val-seed", values.val_seed, "of the choice of --val-share");
  flags.add("patience", values.options.patience,
            "end after N epochs in a row that were not the best so far; 0: never");
  flags.add("seed", values.seed, "of initial weights, order of images, dropout");
  add_device_flags(flags, values.device, values.precision);
  flags.add("threads", values.threads,
            "compute threads; 0: all cores, of several ranks on the CPU each an equal part. Never "
            "changes a result",
            0, 4096);
  flags.add_switch("no-graph", values.no_graph,
                   "on a GPU, launch each kernel of a step by itself, not as one CUDA graph");
}

void add_run_flags(Flags& flags, TrainFlags& values) {
  flags.group("Run");
  flags.add_path("output-dir", values.output_dir,
                 "folder for everything that is written; default: runs/<program>-<model>-<time>");
  flags.add_optional(
      "resume", values.resume,
      "go on with the run, or with the runs of --runs, in this folder; alone: in the "
      "newest runs/<program>-*");
  add_config_flag(flags, values.config);
  TrainFiles& files = values.options.files;
  flags.add("save-every", files.save_every_epochs,
            "epochs between checkpoints; 0: at the end only");
  flags.add("save-every-steps", files.save_every_steps,
            "steps between checkpoints within an epoch, too; 0: none");
  flags.add("keep", files.keep_epochs, "keep the weights after each of the last N epochs, too");
  constexpr std::int64_t kMostRuns = 1000;
  flags.add("runs", values.runs,
            "train N times, with this seed and those after it, each in a folder of its own in "
            "--output-dir, and print mean and deviation of accuracy and time",
            1, kMostRuns);
  flags.add(
      "target-acc", values.target_accuracy,
      "validation accuracy (0.9 is 90 %; without --val-share and val/ test accuracy) of which to "
      "say when it was reached; exit with 3 if the last one is below it; 0: none",
      0.0, 1.0);
  flags.add_switch("dry-run", values.dry_run, "two steps and an evaluation; writes nothing");
  flags.add_switch("overfit-batch", values.options.overfit_batch,
                   "train on a single batch again and again, to see that the network learns");
}

void add_conditions(Flags& flags) {
  flags.only_with("momentum", "opt", "sgd");
  flags.only_with("nesterov", "opt", "sgd");
  flags.only_with("lr-step-epochs", "lr-scheduler", "step");
  flags.only_with("lr-gamma", "lr-scheduler", "step");
  flags.not_with("average-every", "weight-average", "0");
  flags.not_with("look-ahead", "weight-average", "0");
  flags.not_with("val-seed", "val-share", "0");
  flags.not_with("no-graph", "device", "cpu");
  flags.not_with("data-dir", "dataset", "drawn");
}

}  // namespace

void add_train_flags(Flags& flags, TrainFlags& values) {
  std::string list = "Models:";
  for (const std::string& name : classifier_names()) {
    list += formatted("\n  {}: {}", name, model_info(name).summary);
  }
  flags.footer(list +
               "\nCtrl-C ends a run after its step, saves it and says how to go on; twice: at once."
               "\nExit codes: 0 done, 1 failed, 2 wrong flag, 3 target not reached, 130 "
               "interrupted (143 by SIGTERM, 129 by SIGHUP).");
  add_training_flags(flags, values);
  add_rank_flags(flags, values.ranks);
  add_run_flags(flags, values);
  add_output_flags(flags, values.output);
  flags.add("conv-plan", values.conv_plan,
            "kernels that convolutions must use instead of the chosen ones, as in "
            "forward=reference,backward_data=ks_deconv",
            [](const std::string& text) { parse_conv_plan_names(text); });
  add_tune_flag(flags, values.tune);
  flags.add_switch("conv-report", values.options.profile.convolutions,
                   "what each convolution multiplied and skipped, its plan, time and error");
  flags.add_switch("profile", values.options.profile.modules,
                   "time of each layer, forward and backward; on a GPU without CUDA graphs");
  add_conditions(flags);
}

bool spans_run(const std::string& lr_scheduler) {
  return lr_scheduler == "cosine" || lr_scheduler == "onecycle";
}

const std::set<std::string>& flags_free_on_resume() {
  static const std::set<std::string> kFree{
      "resume",      "output-dir",       "device",      "threads",      "save-every",
      "precision",   "save-every-steps", "target-acc",  "log-interval", "no-progress",
      "quiet",       "no-graph",         "conv-report", "data-dir",     "show-digits",
      "epochs",      "eval-batch-size",  "profile",     "keep",         "list-models",
      "skip-broken", "columns",          "rows",        "target-loss",  "no-cache",
      "gpus",        "rank-timeout",     "tensorboard"};
  return kFree;
}

std::unique_ptr<Optimizer> make_optimizer(const TrainFlags& flags, const Module& model) {
  if (flags.optimizer == "sgd") {
    return std::make_unique<Sgd>(model.named_parameters(),
                                 Sgd::Options{.learning_rate = flags.lr,
                                              .momentum = flags.momentum,
                                              .weight_decay = flags.weight_decay,
                                              .nesterov = flags.nesterov});
  }
  if (flags.optimizer == "adam") {
    return std::make_unique<Adam>(
        model.named_parameters(),
        Adam::Options{.learning_rate = flags.lr, .weight_decay = flags.weight_decay});
  }
  if (flags.optimizer == "adamw") {
    return std::make_unique<AdamW>(
        model.named_parameters(),
        AdamW::Options{.learning_rate = flags.lr, .weight_decay = flags.weight_decay});
  }
  throw Error("--opt: there is no optimiser " + flags.optimizer);
}

LrFactor make_lr_factor(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  const std::int64_t total = flags.epochs * steps_per_epoch;
  const std::int64_t warmup = warmup_steps(flags, steps_per_epoch);
  if (flags.lr_scheduler == "onecycle") {
    if (warmup > 0) {
      throw UsageError(
          "--lr-warmup-epochs does not go with --lr-scheduler onecycle, which has its own");
    }
    return one_cycle_lr({.total_steps = total});
  }
  if (warmup >= total) {
    throw UsageError(formatted("--lr-warmup-epochs takes all of the {} epochs", flags.epochs));
  }
  LrFactor factor;
  if (flags.lr_scheduler == "cosine") {
    factor = cosine_lr(total - warmup);
  } else if (flags.lr_scheduler == "step") {
    factor = step_lr(flags.lr_step_epochs * steps_per_epoch, flags.lr_gamma);
  } else if (flags.lr_scheduler == "constant") {
    factor = constant_lr();
  } else {
    throw Error("--lr-scheduler: there is no schedule " + flags.lr_scheduler);
  }
  return warmup > 0 ? with_warmup(warmup, std::move(factor)) : factor;
}

MomentumCurve make_momentum(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  if (!flags.cycle_momentum) {
    return {};
  }
  if (flags.lr_scheduler != "onecycle" || flags.optimizer != "sgd" || flags.momentum == 0.0) {
    throw UsageError(
        "--cycle-momentum needs --lr-scheduler onecycle and --opt sgd with a momentum; "
        "--cycle-momentum=false switches it off");
  }
  return one_cycle_momentum({.total_steps = flags.epochs * steps_per_epoch}, kLowMomentum,
                            kHighMomentum);
}

std::string describe_optimizer(const TrainFlags& flags) {
  std::string text = formatted("{}, learning rate {:g}", flags.optimizer, flags.lr);
  if (flags.optimizer == "sgd") {
    text += flags.nesterov ? ", Nesterov momentum " : ", momentum ";
    text += flags.cycle_momentum ? formatted("{:g} to {:g} and back", kHighMomentum, kLowMomentum)
                                 : formatted("{:g}", flags.momentum);
  }
  return flags.weight_decay > 0.0 ? text + formatted(", weight decay {:g}", flags.weight_decay)
                                  : text;
}

std::string describe_schedule(const TrainFlags& flags, std::int64_t steps_per_epoch) {
  std::string text = flags.lr_scheduler;
  if (flags.lr_scheduler == "step") {
    text += formatted(" (times {:g} every {} epochs)", flags.lr_gamma, flags.lr_step_epochs);
  } else if (spans_run(flags.lr_scheduler)) {
    text += formatted(" over {} steps", flags.epochs * steps_per_epoch);
  }
  return flags.lr_warmup_epochs > 0.0
             ? text + formatted(" after {} steps of warm-up", warmup_steps(flags, steps_per_epoch))
             : text;
}

std::string list_classifiers() {
  TextTable table({"model", "made for", "what"}, {});
  for (const std::string& name : classifier_names()) {
    const ModelInfo& info = model_info(name);
    table.add({name, formatted("{0}x{0}x{1}", info.image_size, info.in_channels), info.summary});
  }
  return table.to_string();
}

}  // namespace cks::apps
