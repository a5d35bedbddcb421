#include "apps/run/session.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "apps/cli/console.h"
#include "apps/cli/device_flag.h"
#include "apps/cli/program.h"
#include "apps/report/profile_tables.h"
#include "apps/report/text_table.h"
#include "apps/run/header.h"
#include "apps/run/ranks.h"
#include "apps/run/results.h"
#include "apps/run/run_folders.h"
#include "apps/run/tensorboard.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/conv_tuning.h"
#include "cks/core/io/file.h"
#include "cks/datasets/data_loader.h"
#include "cks/datasets/validation.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/models/registry.h"
#include "cks/train/checkpoint.h"
#include "cks/train/freeze.h"
#include "cks/train/trainer.h"

namespace cks::apps {
namespace {

constexpr std::int64_t kDryRunSteps = 2;
constexpr double kMebibyte = 1024.0 * 1024.0;

/// Rows and columns of the images, which models take square.
std::int64_t image_size(const ImageDataset& dataset) {
  if (dataset.height() != dataset.width()) {
    throw ShapeError(
        formatted("dataset {}: images are {}x{}, the models take square ones (--image-size resizes "
                  "a folder's)",
                  dataset.name, dataset.width(), dataset.height()));
  }
  return dataset.height();
}

TrainOptions make_options(const TrainFlags& flags, const TrainTest& data,
                          std::int64_t steps_per_epoch) {
  TrainOptions options = flags.options;
  options.epochs = flags.dry_run ? 1 : flags.epochs;
  options.max_steps = flags.dry_run ? kDryRunSteps : 0;
  if (flags.class_weights == "balanced") {
    options.class_weights = data.train.balanced_class_weights();
  }
  if (flags.average.decay > 0.0) {
    options.weight_average = flags.average;
  }
  options.files.resume = flags.resume.has_value();
  options.gpu.capture = !flags.no_graph;
  options.files.info = checkpoint_info(flags.model, data.train, {{"cks", version()}});
  options.files.identity = {{"model", flags.model},
                            {"dataset", data.train.name},
                            {"test images", std::to_string(data.test.size())},
                            {"classes", list_text(data.train.class_names)},
                            {"optimizer", describe_optimizer(flags)},
                            {"lr schedule", describe_schedule(flags, steps_per_epoch)}};
  return options;
}

/// The numbers of a run in one line.
std::string describe_result(const TrainSummary& summary) {
  std::string accuracy = "not evaluated yet";
  if (summary.validation && summary.epochs > 0) {
    accuracy = formatted("validation accuracy {} after epoch {}, best {} (epoch {}){}",
                         percent(summary.validation->accuracy), summary.epochs,
                         percent(summary.validation->best_accuracy), summary.best_epoch,
                         summary.is_tested()
                             ? ", with which the test accuracy is " + percent(summary.test_accuracy)
                             : "");
  } else if (summary.epochs > 0) {
    accuracy =
        formatted("test accuracy {} after epoch {}, best {} (epoch {}, chosen on the test half)",
                  percent(summary.test_accuracy), summary.epochs,
                  percent(summary.best_test_accuracy), summary.best_epoch);
  }
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / kMebibyte; };
  const std::string on_gpu =
      summary.device == Device::cpu().to_string()
          ? ""
          : formatted(" and on the GPU {:.0f} MiB", mebibytes(summary.peak_tensor_bytes));
  return formatted("{}{}, {:.1f} s, {} img/s, peak {:.0f} MiB{}",
                   summary.interrupted ? "stopped   " : "done      ", accuracy, summary.seconds,
                   format_count(summary.images_per_second), mebibytes(summary.peak_resident_bytes),
                   on_gpu);
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
  Ranks& ranks;
  const ChosenDevice& chosen;
  const TrainTest& data;
  const RunGroup* group = nullptr;  // of --runs
};

/// The command that goes on with a run, or with the group that it is one of.
std::string command_to_resume(const Session& session, const RunFolder& run) {
  return resume_command(session.parser.program(),
                        session.group != nullptr ? session.group->folder->path() : run.path());
}

std::string describe_weights(const std::string& path, const InitialWeights& weights) {
  std::string text = formatted("weights   from {}: {} tensors", path, weights.loaded);
  if (!weights.prefix.empty()) {
    text += formatted(" (behind the prefix \"{}\")", weights.prefix);
  }
  if (!weights.left_out.empty()) {
    text += "; left as drawn: " + list_text(weights.left_out);
  }
  if (!weights.unused.empty()) {
    text += "; not used: " + list_text(weights.unused);
  }
  return text;
}

/// What --init-weights and --freeze ask for, in a model before its first step; returns lines that
/// say what was done. A resumed run has its weights already.
std::vector<std::string> prepare_weights(const TrainFlags& flags, Module& model) {
  std::vector<std::string> lines;
  if (!flags.init_weights.empty() && !flags.resume) {
    lines.push_back(
        describe_weights(flags.init_weights, load_initial_weights(flags.init_weights, model)));
  }
  if (!flags.freeze.empty()) {
    const std::vector<std::string> frozen = freeze(model, flags.freeze);
    std::int64_t trained = 0;
    for (const Tensor& parameter : model.parameters()) {
      trained += parameter.requires_grad() ? parameter.numel() : 0;
    }
    lines.push_back(formatted("frozen    {}: {} tensors; of {} parameters {} are trained",
                              flags.freeze, frozen.size(), with_commas(model.num_parameters()),
                              with_commas(trained)));
  }
  return lines;
}

std::unique_ptr<Module> make_trainable(const Session& session, const TrainFlags& flags,
                                       Device device, std::vector<std::string>& notes) {
  const ImageDataset& train = session.data.train;
  auto model = make_model(flags.model, {.classes = train.classes(),
                                        .in_channels = train.channels(),
                                        .image_size = image_size(train)});
  model->initialize(static_cast<std::uint64_t>(flags.seed));
  notes = prepare_weights(flags, *model);
  model->to(device);  // before the optimiser, whose state lives where they do
  return model;
}

DataLoaderOptions evaluation(const TrainFlags& flags, Device device) {
  return {.batch_size = flags.eval_batch_size, .shuffle = false, .device = device};
}

/// What a rank trains, and on what.
struct Training {
  std::vector<std::string> notes;  // on the weights it begins with
  std::unique_ptr<Module> model;
  std::unique_ptr<Optimizer> optimizer;
  DataLoader train_loader;
  DataLoader test_loader;
  std::optional<DataLoader> val_loader;
  std::int64_t steps_per_epoch;
  TrainTask task;
  TrainOptions options;

  Training(const Session& session, const TrainFlags& flags, Communicator& ranks)
      : model(make_trainable(session, flags, ranks.device(), notes)),
        optimizer(make_optimizer(flags, *model)),
        train_loader(session.data.train, {.batch_size = flags.batch_size,
                                          .shuffle = true,
                                          .seed = static_cast<std::uint64_t>(flags.seed),
                                          .drop_last = flags.drop_last,
                                          .device = ranks.device(),
                                          .augment = flags.augment,
                                          .share = {ranks.rank(), ranks.size()}}),
        test_loader(session.data.test, evaluation(flags, ranks.device())),
        steps_per_epoch(train_loader.batches_per_epoch()),
        task{.model = *model,
             .optimizer = *optimizer,
             .train_loader = train_loader,
             .test_loader = test_loader,
             .lr_factor = make_lr_factor(flags, steps_per_epoch),
             .momentum = make_momentum(flags, steps_per_epoch),
             .val_loader = session.data.val ? &val_loader.emplace(*session.data.val,
                                                                  evaluation(flags, ranks.device()))
                                            : nullptr},
        options(make_options(flags, session.data, steps_per_epoch)) {
    options.precision = take_precision(flags.precision, ranks.device());
    options.parallel.communicator = &ranks;
    options.parallel.sync_batch_norm = flags.ranks.sync_batch_norm;
  }
};

/// Says what is about to be trained; returns its config.json.
ConfigSections introduce(const Session& session, const TrainFlags& flags, const Training& training,
                         Console& console) {
  const ImageDataset& train = session.data.train;
  const ModelTable table =
      trace_model(*training.model, {1, train.height(), train.width(), train.channels()});
  const std::int64_t device_bytes = training.train_loader.device_bytes() +
                                    training.test_loader.device_bytes() +
                                    (training.val_loader ? training.val_loader->device_bytes() : 0);
  for (const std::string& line : describe_build(session.chosen)) {
    console.log(line);  // it was said before
  }
  std::vector<std::string> lines =
      describe_run(flags, session.data, table, training.steps_per_epoch, device_bytes,
                   training.options.files.folder);
  if (const Communicator& ranks = *training.options.parallel.communicator; ranks.size() > 1) {
    lines.push_back("ranks     " +
                    describe_ranks(ranks, flags.batch_size, flags.ranks.sync_batch_norm));
  }
  lines.insert(lines.end(), training.notes.begin(), training.notes.end());
  for (const std::string& line : lines) {
    console.say(line);
  }
  report_data(console, session.data);
  constexpr std::int64_t kFewSteps = 8;
  if (training.steps_per_epoch < kFewSteps && !flags.dry_run && !flags.options.overfit_batch) {
    console.say(
        formatted("note      only {} step{} in an epoch: a smaller --batch-size makes more of them",
                  training.steps_per_epoch, training.steps_per_epoch == 1 ? "" : "s"));
  }
  console.say(
      formatted("epochs    loss / accuracy of training and {} images, seconds since the start; "
                "best: chosen on {}",
                session.data.val ? "validation" : "test",
                session.data.val ? "the validation half"
                                 : "the test half (--val-share cuts one to choose on)"));
  ConfigSections config =
      describe_program(session.program.name, session.parser, session.chosen, session.data);
  config["model"] = {{"name", flags.model}, {"parameters", std::to_string(table.parameters)}};
  return config;
}

/// Trains; `rows` gets a row for each epoch.
TrainSummary train(const Session& session, const TrainFlags& flags, Training& training,
                   const ConfigSections& config, std::vector<EpochMetrics>& rows,
                   Console& console) {
  const RunFolder* const folder = training.options.files.folder;
  TrainCallbacks& callbacks = training.options.callbacks = make_callbacks(console, true);
  callbacks.on_epoch = [&rows, report = callbacks.on_epoch](const EpochEvent& event) {
    std::erase_if(rows, [&](const EpochMetrics& row) { return row.epoch >= event.metrics.epoch; });
    rows.push_back(event.metrics);
    report(event);
  };
  if (folder != nullptr) {
    if (flags.output.tensorboard) {
      send_to_tensorboard(*folder, true, callbacks);
    }
    write_config_on_start(*folder, config, training.options.files.resume, callbacks);
    if (session.group != nullptr && session.group->is_resumed) {
      write_config_on_start(*session.group->folder, session.group->config, true, callbacks);
    }
  }
  return fit_with_advice(session.parser, console, training.task, training.options);
}

/// Writes and prints what a run came to.
void conclude(const Session& session, const TrainFlags& flags, const FinishedRun& run,
              Training& training) {
  const TrainSummary& summary = run.summary;
  const RunFolder* const folder = training.options.files.folder;
  if (summary.validation && summary.is_tested() && folder != nullptr) {
    load_weights(folder->best_file(), *training.model);  // what was tested is what is shown
  }
  std::optional<ConfusionMatrix> confusion;
  if (folder != nullptr) {
    confusion = write_run_results(
        *folder, run, *training.model, training.train_loader, training.test_loader,
        {{"model", flags.model}, {"dataset", session.data.train.name}, {"version", version()}},
        flags.output.tensorboard);
  }
  if (flags.options.profile.convolutions) {
    if (folder != nullptr) {
      write_file_atomically(folder->convolutions_file(), conv_csv(summary.convolutions));
    }
    std::cout << conv_table(summary.convolutions, summary.recorded_steps);
  }
  if (flags.options.profile.modules) {
    std::cout << module_time_table(summary.module_times, summary.timed_steps);
  }
  std::cout << describe_result(summary) << "\n";
  if (confusion) {
    const std::string never = never_predicted(*confusion, session.data.test.class_names);
    std::cout << "balanced  test accuracy " << percent(confusion->balanced_accuracy())
              << ", the mean over the classes"
              << (never.empty() ? "" : "; never predicted: " + never) << "\n";
  }
  if (folder != nullptr) {
    std::cout << "report    " << folder->report_file() << "\nsaved     "
              << (summary.best_epoch > 0 ? folder->best_file() : folder->last_file()) << "\n";
  }
  if (flags.target_accuracy > 0.0) {
    const double seconds = seconds_to(flags.target_accuracy, run.rows);
    std::cout << "target    " << percent(flags.target_accuracy)
              << (seconds < 0.0 ? " was never reached"
                                : formatted(" was reached in {:.1f} s", seconds))
              << "\n";
  }
  if (summary.interrupted && folder != nullptr) {
    std::cout << "          go on with: " << command_to_resume(session, *folder) << "\n";
  } else if (!summary.interrupted && session.program.show) {
    session.program.show(*training.model, session.data.test);
  }
}

/// One run with its own model, from the header to the pictures, of the rank that writes it. Its
/// folder is asked for after all checks, so that a refused run leaves none, and not for a dry run.
FinishedRun lead(const Session& session, TrainFlags& flags, Communicator& ranks,
                 const std::function<RunFolder()>& take_folder) {
  Training training(session, flags, ranks);
  FinishedRun run{.seed = flags.seed};
  std::optional<RunFolder> folder;
  if (!flags.dry_run) {
    folder = take_folder();
    run.folder = flags.output_dir = folder->path();
    training.options.files.folder = &*folder;
  }
  defer_interrupts(folder ? command_to_resume(session, *folder) : "");
  Console console(flags.output, training.options.files.folder);
  const ConfigSections config = introduce(session, flags, training, console);
  if (folder && flags.resume) {
    run.rows = folder->read_metrics();
  }
  run.summary = train(session, flags, training, config, run.rows, console);
  conclude(session, flags, run, training);
  return run;
}

/// Another rank's part in it.
TrainSummary follow(const Session& session, const TrainFlags& flags, Communicator& ranks) {
  Training training(session, flags, ranks);
  if (session.ranks.are_processes()) {
    defer_interrupts("");
  }
  training.options.callbacks.should_stop = [] { return interrupted(); };
  Console console({.quiet = true});
  return fit_with_advice(session.parser, console, training.task, training.options);
}

FinishedRun train_once(const Session& session, TrainFlags& flags,
                       const std::function<RunFolder()>& take_folder) {
  FinishedRun run;
  session.ranks.run([&](Communicator& ranks) {
    const ConvPlanScope plans(flags.conv_plan);
    const PrecisionScope precision(take_precision(flags.precision, ranks.device()));
    if (ranks.rank() == 0) {
      run = lead(session, flags, ranks, take_folder);
    } else if (TrainSummary summary = follow(session, flags, ranks); !session.ranks.is_first()) {
      run.summary = std::move(summary);
    }
  });
  return run;
}

/// 3 if an accuracy is below the target, 130 after an interrupt.
int exit_code(const std::vector<FinishedRun>& runs, double target) {
  if (runs.back().summary.interrupted) {
    return interrupted_exit_code();
  }
  for (const FinishedRun& run : runs) {
    if (target > 0.0 && !(run.summary.last_accuracy() >= target)) {
      std::cerr << "error: " << (run.summary.validation ? "validation" : "test") << " accuracy "
                << percent(run.summary.last_accuracy()) << " is below --target-acc "
                << percent(target) << std::endl;
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
    throw UsageError(formatted("--seed {} leaves no seeds for --runs {}", first_seed, flags.runs));
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
    if (const auto done = begun ? read_if_done(*begun, flags.epochs, flags.seed) : std::nullopt) {
      runs.push_back(*done);
      Console(flags.output).say("note      " + begun->path() + " is done");
    } else {
      runs.push_back(train_once(session, flags, [&] {
        if (!group.folder) {
          group.folder =
              create_run_folder(session.program.name + "-" + flags.model, flags.output_dir);
          group.config["flags"]["output-dir"] = std::filesystem::absolute(group.folder->path());
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

/// As one of the ranks' processes, or the only one.
int run_process(const TrainProgram& program, Flags& parser, TrainFlags& flags, Ranks& ranks) {
  if (ranks.are_processes() && flags.runs > 1) {
    throw UsageError("--runs does not go with several processes; start them once for each --seed");
  }
  const std::optional<RunFolder> resumed =
      ranks.is_first() ? open_resumed_run(program.name, parser, flags.resume, flags.output_dir)
                       : std::nullopt;
  parser.require_effects();
  ranks.share(parser);
  flags.output.quiet = flags.output.quiet || !ranks.is_first();
  const ChosenDevice chosen = ranks.take_devices(flags.device);
  kernels::set_num_threads(flags.threads > 0
                               ? static_cast<int>(flags.threads)
                               : std::max(1, kernels::num_threads() / ranks.on_this_cpu()));
  take_precision(flags.precision, chosen.device);  // before the data, which may take long
  Console console(flags.output);
  for (const std::string& line : describe_build(chosen)) {  // before the data, which may take long
    console.say(line);
  }
  TrainTest data = ranks.excused([&] { return program.load_data(console.progress()); });
  console.progress().clear();
  require_storable(data);
  if (flags.val_share > 0.0) {
    if (data.val) {
      throw UsageError("--val-share is for data without a validation half of their own; there is " +
                       data.val->source.path);
    }
    data = cut_validation(std::move(data), {.share = flags.val_share,
                                            .seed = static_cast<std::uint64_t>(flags.val_seed)});
  }
  if (flags.dry_run) {
    data.train = data.train.limit(flags.batch_size * kDryRunSteps);
    data.test = data.test.limit(flags.eval_batch_size);
    if (data.val) {
      data.val = data.val->limit(flags.eval_batch_size);
    }
  }
  const Session session{program, parser, ranks, chosen, data};
  std::optional<ConvTuning> tuning;
  if (flags.tune) {
    tuning.emplace(conv_plans_file());
  }
  std::vector<FinishedRun> runs;
  if (flags.runs == 1) {
    runs.push_back(train_once(session, flags, [&] {
      return resumed ? *resumed
                     : create_run_folder(program.name + "-" + flags.model, flags.output_dir);
    }));
  } else {
    runs = train_repeatedly(session, flags, resumed);
  }
  if (tuning) {
    console.say(formatted("tuned     {} passes of convolutions timed, {} found in {}",
                          tuning->timed(), tuning->found(), conv_plans_file()));
  }
  return ranks.is_first() || runs.back().summary.interrupted
             ? exit_code(runs, flags.target_accuracy)
             : kExitOk;
}

}  // namespace

int run_training(const TrainProgram& program, Flags& parser, TrainFlags& flags) {
  if (flags.list_models) {
    std::cout << list_classifiers();
    return kExitOk;
  }
  install_interrupt_handler();
  Ranks ranks(flags.ranks);
  try {
    return run_process(program, parser, flags, ranks);
  } catch (const std::exception& error) {
    ranks.fail(error.what());
    throw;
  }
}

}  // namespace cks::apps
