#include "apps/run/session.h"

#include <filesystem>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/cli/console.h"
#include "apps/cli/device_flag.h"
#include "apps/cli/format.h"
#include "apps/cli/program.h"
#include "apps/report/conv_table.h"
#include "apps/report/module_table.h"
#include "apps/report/text_table.h"
#include "apps/run/header.h"
#include "apps/run/results.h"
#include "apps/run/resume.h"
#include "apps/run/seeds.h"
#include "cks/core/io/file.h"
#include "cks/datasets/data_loader.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kDryRunSteps = 2;
constexpr double kMebibyte = 1024.0 * 1024.0;

/// Rows and columns of the images, which models take square.
std::int64_t image_size(const ImageDataset& dataset) {
  if (dataset.height() != dataset.width()) {
    throw ShapeError("dataset " + dataset.name + ": images are " +
                     std::to_string(dataset.height()) + "x" + std::to_string(dataset.width()) +
                     ", the models take square ones (--image-size resizes a folder's)");
  }
  return dataset.height();
}

std::string describe_epoch(const EpochEvent& event) {
  const EpochMetrics& row = event.metrics;
  return format("epoch %2lld/%lld  train %.4f / %.2f %%   test %.4f / %.2f %%   %.1f s",
                static_cast<long long>(row.epoch), static_cast<long long>(event.epochs),
                row.train_loss, 100.0 * row.train_accuracy, row.test_loss,
                100.0 * row.test_accuracy, row.seconds) +
         (event.is_best ? "   best" : "");
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

TrainOptions make_options(const TrainFlags& flags, const TrainTest& data,
                          std::int64_t steps_per_epoch) {
  TrainOptions options;
  options.epochs = flags.dry_run ? 1 : flags.epochs;
  options.max_steps = flags.dry_run ? kDryRunSteps : 0;
  options.label_smoothing = flags.label_smoothing;
  options.clip_grad_norm = flags.clip_grad_norm;
  options.accumulation = flags.accumulation;
  options.overfit_batch = flags.overfit_batch;
  options.save_every_epochs = flags.save_every;
  options.save_every_steps = flags.save_every_steps;
  options.resume = flags.resume.has_value();
  options.record_convolutions = flags.conv_report;
  options.time_modules = flags.profile;
  options.momentum = make_momentum(flags, steps_per_epoch);
  options.keep_epochs = flags.keep;
  options.capture = !flags.no_graph;
  options.info = {.model = flags.model,
                  .dataset = data.train.name,
                  .class_names = data.train.class_names,
                  .mean = data.train.mean,
                  .std = data.train.std,
                  .height = data.train.height(),
                  .width = data.train.width(),
                  .channels = data.train.channels(),
                  .notes = {{"cks", version()}}};
  options.identity = {{"model", flags.model},
                      {"dataset", data.train.name},
                      {"test images", std::to_string(data.test.size())},
                      {"classes", joined(data.train.class_names)},
                      {"optimizer", describe_optimizer(flags)},
                      {"lr schedule", describe_schedule(flags, steps_per_epoch)}};
  return options;
}

void print_result(const TrainSummary& summary, const RunFolder* folder) {
  std::cout << (summary.interrupted ? "stopped   " : "done      ")
            << (summary.epochs == 0
                    ? std::string("not evaluated yet, ")
                    : format("test accuracy %.2f %% after epoch %lld, best %.2f %% (epoch %lld), ",
                             100.0 * summary.test_accuracy, static_cast<long long>(summary.epochs),
                             100.0 * summary.best_test_accuracy,
                             static_cast<long long>(summary.best_epoch)))
            << format("%.1f s, ", summary.seconds) << format_count(summary.images_per_second)
            << " img/s, peak "
            << format("%.0f MiB", static_cast<double>(summary.peak_resident_bytes) / kMebibyte);
  if (summary.device != Device::cpu().to_string()) {
    std::cout << format(" and on the GPU %.0f MiB",
                        static_cast<double>(summary.peak_tensor_bytes) / kMebibyte);
  }
  std::cout << "\n";
  if (folder != nullptr) {
    std::cout << "report    " << folder->report_file() << "\nsaved     "
              << (summary.best_epoch > 0 ? folder->best_file() : folder->last_file()) << "\n";
  }
}

/// The folder of --runs and its config.json, with the flags of all of them, as the folder of one
/// run has it.
struct RunGroup {
  std::optional<RunFolder> folder;  // made with the folder of the first run
  ConfigSections config;
  bool is_resumed = false;
};

/// What all runs of one call of the program share.
struct Session {
  const TrainProgram& program;
  const Flags& parser;
  const ChosenDevice& chosen;
  const TrainTest& data;
  const RunGroup* group = nullptr;  // of --runs
};

/// The command that goes on with a run, or with the group that it is one of.
std::string command_to_resume(const Session& session, const RunFolder& run) {
  return resume_command(session.program.name,
                        session.group != nullptr ? session.group->folder->path() : run.path());
}

/// One run with its own model, from the header to the pictures. Its folder is asked for after all
/// checks, so that a refused run leaves none, and not for a dry run.
FinishedRun train_once(const Session& session, TrainFlags& flags,
                       const std::function<RunFolder()>& take_folder) {
  const TrainTest& data = session.data;
  const auto seed = static_cast<std::uint64_t>(flags.seed);
  const Device device = session.chosen.device;
  const auto model = make_model(flags.model, {.classes = data.train.classes(),
                                              .in_channels = data.train.channels(),
                                              .image_size = image_size(data.train)});
  model->initialize(seed);
  model->to(device);  // before the optimiser, whose state lives where the parameters do
  const auto optimizer = make_optimizer(flags, *model);
  DataLoader train_loader(data.train, {.batch_size = flags.batch_size,
                                       .shuffle = true,
                                       .seed = seed,
                                       .drop_last = flags.drop_last,
                                       .device = device,
                                       .augment = flags.augment});
  DataLoader test_loader(data.test,
                         {.batch_size = flags.eval_batch_size, .shuffle = false, .device = device});
  const std::int64_t steps_per_epoch = train_loader.batches_per_epoch();
  const LrFactor lr_factor = make_lr_factor(flags, steps_per_epoch);
  TrainOptions options = make_options(flags, data, steps_per_epoch);

  std::optional<RunFolder> folder;
  if (!flags.dry_run) {
    folder = take_folder();
    flags.output_dir = folder->path();
  }
  const RunFolder* const place = folder ? &*folder : nullptr;
  options.folder = place;
  defer_interrupts(place == nullptr ? "" : command_to_resume(session, *place));
  Console console(flags.output, place);
  const RunHeader header =
      describe_run({.program = session.program.name,
                    .flags = flags,
                    .parser = session.parser,
                    .data = data,
                    .chosen = session.chosen,
                    .model = *model,
                    .steps_per_epoch = steps_per_epoch,
                    .device_bytes = train_loader.device_bytes() + test_loader.device_bytes(),
                    .folder = place});
  for (const std::string& line : header.lines) {
    console.say(line);
  }
  report_data(console, data);
  constexpr std::int64_t kFewSteps = 8;
  if (steps_per_epoch < kFewSteps && !flags.dry_run && !flags.overfit_batch) {
    console.say("note      only " + std::to_string(steps_per_epoch) + " step" +
                (steps_per_epoch == 1 ? "" : "s") +
                " in an epoch: a smaller --batch-size makes more of them");
  }
  std::vector<EpochMetrics> rows;
  if (place != nullptr && flags.resume) {
    rows = place->read_metrics();
  }
  TrainCallbacks callbacks = make_callbacks(console, true, describe_epoch);
  callbacks.on_epoch = [&rows, report = callbacks.on_epoch](const EpochEvent& event) {
    std::erase_if(rows, [&](const EpochMetrics& row) { return row.epoch >= event.metrics.epoch; });
    rows.push_back(event.metrics);
    report(event);
  };
  if (place != nullptr) {
    write_config_on_start(*place, header.config, flags.resume.has_value(), callbacks);
    if (session.group != nullptr && session.group->is_resumed) {
      write_config_on_start(*session.group->folder, session.group->config, true, callbacks);
    }
  }

  FinishedRun run;
  TrainSummary& summary = run.summary;
  try {
    summary = fit(options, *model, *optimizer, lr_factor, train_loader, test_loader, callbacks);
  } catch (Error& error) {
    append_flags(error, session.parser);
    console.progress().clear();
    if (place != nullptr) {
      try {
        place->log(std::string("error: ") + error.what());
      } catch (const IoError&) {  // the disk may be what failed; the first error is the one to show
      }
    }
    throw;
  }
  console.progress().clear();
  run.seed = flags.seed;
  run.folder = place == nullptr ? "" : place->path();
  run.rows = std::move(rows);
  if (place != nullptr) {
    write_run_results(
        *place, run, *model, test_loader,
        {{"model", flags.model}, {"dataset", data.train.name}, {"version", version()}});
  }
  if (flags.conv_report) {
    if (place != nullptr) {
      write_file_atomically(place->convolutions_file(), conv_csv(summary.convolutions));
    }
    std::cout << conv_table(summary.convolutions, summary.recorded_steps);
  }
  if (flags.profile) {
    std::cout << module_time_table(summary.module_times, summary.timed_steps);
  }
  print_result(summary, place);
  if (flags.target_accuracy > 0.0) {
    const double seconds = seconds_to(flags.target_accuracy, run.rows);
    std::cout << "target    " << percent(flags.target_accuracy)
              << (seconds < 0.0 ? " was never reached" : format(" was reached in %.1f s", seconds))
              << "\n";
  }
  if (summary.interrupted && place != nullptr) {
    std::cout << "          go on with: " << command_to_resume(session, *place) << "\n";
  } else if (!summary.interrupted && session.program.show) {
    session.program.show(*model, data.test);
  }
  return run;
}

/// 3 if an accuracy is below the target, 130 after an interrupt.
int exit_code(const std::vector<FinishedRun>& runs, double target) {
  if (runs.back().summary.interrupted) {
    return kExitInterrupted;
  }
  for (const FinishedRun& run : runs) {
    if (target > 0.0 && !(run.summary.test_accuracy >= target)) {
      std::cerr << "error: test accuracy " << percent(run.summary.test_accuracy)
                << " is below --target-acc " << percent(target) << std::endl;
      return kExitTargetNotReached;
    }
  }
  return kExitOk;
}

/// --runs: one after the other, each with its own seed and folder. The flags are for each as if it
/// had been started alone, so that each can be resumed alone. Of a resumed group those that are
/// done are read from their folders, the others go on or begin.
std::vector<FinishedRun> train_repeatedly(Session session, TrainFlags& flags,
                                          const std::optional<RunFolder>& resumed) {
  const std::int64_t first_seed = flags.seed;
  if (first_seed > std::numeric_limits<std::int64_t>::max() - flags.runs) {
    throw UsageError("--seed " + std::to_string(first_seed) + " leaves no seeds for --runs " +
                     std::to_string(flags.runs));
  }
  RunGroup group{
      resumed, describe_program(session.program.name, session.parser, session.chosen, session.data),
      resumed.has_value()};
  session.group = &group;
  const std::int64_t count = std::exchange(flags.runs, 1);
  std::vector<FinishedRun> runs;
  for (std::int64_t i = 0; i < count; ++i) {
    flags.seed = first_seed + i;
    const std::string name = "seed-" + std::to_string(flags.seed);
    const std::optional<RunFolder> begun =
        group.folder ? open_if_begun(group.folder->file(name)) : std::nullopt;
    flags.resume = begun ? std::optional(begun->path()) : std::nullopt;
    if (begun && is_done(*begun, flags.epochs)) {
      runs.push_back(read_run(*begun, flags.seed));
      if (!flags.output.quiet) {
        std::cerr << "note      " << begun->path() << " is done" << std::endl;
      }
    } else {
      runs.push_back(train_once(session, flags, [&] {
        if (!group.folder) {
          group.folder =
              create_run_folder(session.program.name + "-" + flags.model, flags.output_dir);
          group.config["flags"]["output-dir"] = group.folder->path();
          group.folder->write_config(group.config);
        }
        return begun ? *begun : create_run_folder(name, group.folder->file(name));
      }));
      if (const TrainSummary& summary = runs.back().summary; group.folder) {
        group.folder->log(name + (summary.interrupted
                                      ? ": interrupted"
                                      : ": test accuracy " + percent(summary.test_accuracy)));
      }
    }
    if (runs.back().summary.interrupted) {
      return runs;
    }
    if (group.folder) {
      write_file_atomically(group.folder->file("runs.csv"), runs_csv(runs, flags.target_accuracy));
    }
  }
  std::cout << runs_table(runs, flags.target_accuracy);
  return runs;
}

}  // namespace

int run_training(const TrainProgram& program, Flags& parser, TrainFlags& flags) {
  if (flags.list_models) {
    std::cout << list_classifiers();
    return kExitOk;
  }
  install_interrupt_handler();
  const std::optional<RunFolder> resumed =
      open_resumed_run(program.name, parser, flags.resume, flags.output_dir);
  if (flags.threads > 0) {
    kernels::set_num_threads(static_cast<int>(flags.threads));
  }
  const ChosenDevice chosen = take_device(flags.device);
  TrainTest data = program.load_data();
  require_storable(data);
  if (flags.limit_train > 0) {
    data.train = data.train.limit(flags.limit_train);
  }
  if (flags.limit_test > 0) {
    data.test = data.test.limit(flags.limit_test);
  }
  if (flags.dry_run) {
    data.train = data.train.limit(flags.batch_size * kDryRunSteps);
    data.test = data.test.limit(flags.eval_batch_size);
  }
  const Session session{program, parser, chosen, data};
  std::vector<FinishedRun> runs;
  if (flags.runs == 1) {
    runs.push_back(train_once(session, flags, [&] {
      return resumed ? *resumed
                     : create_run_folder(program.name + "-" + flags.model, flags.output_dir);
    }));
  } else {
    runs = train_repeatedly(session, flags, resumed);
  }
  return exit_code(runs, flags.target_accuracy);
}

}  // namespace cks::apps
