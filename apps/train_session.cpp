#include "apps/train_session.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <vector>

#include "apps/app.h"
#include "apps/conv_table.h"
#include "apps/device_choice.h"
#include "apps/model_table.h"
#include "apps/progress.h"
#include "apps/text_table.h"
#include "cks/core/file.h"
#include "cks/datasets/data_loader.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/models/registry.h"
#include "cks/train/trainer.h"

namespace cks::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunsFolder = "runs";
constexpr std::int64_t kDryRunSteps = 2;
constexpr double kMebibyte = 1024.0 * 1024.0;

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 256> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), pattern, values...);
  return {buffer.data(), static_cast<std::size_t>(std::max(length, 0))};
}

/// Says things on stderr unless quiet, and always in the run's log.
class Speaker {
 public:
  Speaker(bool quiet, Progress::Options progress) : quiet_(quiet), progress_(progress) {}
  void write_to(const RunFolder* folder) { folder_ = folder; }
  Progress& progress() { return progress_; }

  void say(const std::string& line) {
    if (!quiet_) {
      progress_.clear();
      std::cerr << line << std::endl;
    }
    log(line);
  }
  void warn(const std::string& line) {
    progress_.clear();
    std::cerr << "warning: " << line << std::endl;
    log("warning: " + line);
  }

 private:
  void log(const std::string& line) {
    if (folder_ != nullptr) {
      folder_->log(line);
    }
  }
  bool quiet_;
  Progress progress_;
  const RunFolder* folder_ = nullptr;
};

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &parts);
  return text.data();
}

/// The folder that a bare --resume means: --output-dir, or the newest run of this program.
std::string newest_run(const std::string& program, const TrainFlags& flags) {
  if (!flags.output_dir.empty()) {
    return flags.output_dir;
  }
  std::string newest;
  fs::file_time_type newest_time;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kRunsFolder, ignored)) {
    const bool is_ours = entry.path().filename().string().starts_with(program + "-");
    if (!is_ours || !RunFolder::holds_run(entry.path().string())) {
      continue;
    }
    if (newest.empty() || entry.last_write_time() > newest_time) {
      newest = entry.path().string();
      newest_time = entry.last_write_time();
    }
  }
  if (newest.empty()) {
    throw IoError("--resume: there is no run of " + program + " in " +
                  fs::absolute(kRunsFolder).string() + "; name its folder: --resume DIR");
  }
  return newest;
}

/// A folder of its own for a run that was given none; runs begun in the same second get a number.
RunFolder create_named_by_time(const std::string& name) {
  const std::string path = (fs::path(kRunsFolder) / (name + "-" + time_stamp())).string();
  constexpr int kTries = 1000;
  for (int number = 1; number < kTries; ++number) {
    const std::string candidate = number == 1 ? path : path + "-" + std::to_string(number);
    if (std::optional<RunFolder> folder = RunFolder::try_create(candidate)) {
      return *folder;
    }
  }
  return RunFolder::create(path);
}

/// Takes the flags of the run from its folder. Flags on the command line must be the same, unless
/// they are free.
void restore_flags(const RunFolder& folder, Flags& parser) {
  if (!folder.has_config()) {
    throw IoError("--resume: " + folder.path() + " has no config.json to take the flags from");
  }
  const ConfigSections config = folder.read_config();
  const auto saved = config.find("flags");
  const TextFields given = parser.values();
  std::string differing;
  for (const auto& [name, text] : saved == config.end() ? TextFields{} : saved->second) {
    if (flags_free_on_resume().count(name) > 0 || given.count(name) == 0) {
      if (parser.has(name) && !parser.given(name) && name != "resume" && name != "output-dir") {
        parser.set(name, text);
      }
    } else if (!parser.given(name)) {
      parser.set(name, text);
    } else if (given.at(name) != text) {
      differing.append("\n  --").append(name).append(" ").append(text).append(" then, ");
      differing.append(given.at(name)).append(" now");
    }
  }
  if (!differing.empty()) {
    throw Error("--resume: the run in " + folder.path() + " was begun with other flags:" +
                differing + "\n  leave them out, or begin a new run");
  }
}

/// Rows and columns of the images, which models take square.
std::int64_t image_size(const ImageDataset& dataset) {
  if (dataset.height() != dataset.width()) {
    throw ShapeError("dataset " + dataset.name + ": images are " +
                     std::to_string(dataset.height()) + "x" + std::to_string(dataset.width()) +
                     ", the models take square ones");
  }
  return dataset.height();
}

struct Header {
  std::vector<std::string> lines;
  ConfigSections config;
};

Header describe_run(const TrainProgram& program, const TrainFlags& flags, const Flags& parser,
                    const TrainTest& data, const ChosenDevice& chosen, Module& model,
                    std::int64_t steps_per_epoch, std::int64_t device_bytes,
                    const RunFolder* folder) {
  Header header;
  const ImageDataset& train = data.train;
  const ModelTable table =
      trace_model(model, Shape{1, train.height(), train.width(), train.channels()});
  const std::string threads = std::to_string(kernels::num_threads());
  header.lines.push_back("cks " + version() + "   " + build_type() + " build, " +
                         instruction_set() + ", " + threads + " threads, device " +
                         chosen.device.to_string());
  if (!chosen.why.empty()) {
    header.lines.push_back("device    " + chosen.why);
  }
  if (build_type() == "Debug") {
    header.lines.push_back("          this Debug build computes many times slower than Release");
  }
  const std::string source = describe(train.name, train.source);
  header.lines.push_back(
      "data      " + source + ": " + with_commas(train.size()) + " train, " +
      with_commas(data.test.size()) + " test, " +
      format("%lldx%lldx%lld", static_cast<long long>(train.height()),
             static_cast<long long>(train.width()), static_cast<long long>(train.channels())) +
      (device_bytes == 0
           ? std::string()
           : format(", %.1f MiB on the GPU", static_cast<double>(device_bytes) / kMebibyte)));
  header.lines.push_back("model     " + flags.model + ": " + with_commas(table.parameters) +
                         " parameters; multiply-adds of one image: forward " +
                         with_commas(table.forward.plain) + ", whole step " +
                         with_commas(table.all_passes().plain) + ", of which C-K-S skips " +
                         percent(table.all_passes().skipped()));
  header.lines.push_back(
      "training  " + describe_optimizer(flags) + ", " + describe_schedule(flags, steps_per_epoch) +
      format(", batch %lld, %lld epochs, seed %lld", static_cast<long long>(flags.batch_size),
             static_cast<long long>(flags.epochs), static_cast<long long>(flags.seed)));
  header.lines.push_back("run       " +
                         (folder == nullptr ? "nothing is written (--dry-run)" : folder->path()));
  header.config["flags"] = parser.values();
  header.config["build"] = {{"program", program.name},
                            {"version", version()},
                            {"build_type", build_type()},
                            {"instruction_set", instruction_set()}};
  header.config["machine"] = chosen.fields;
  header.config["machine"]["threads"] = threads;
  header.config["data"] = {{"source", source},
                           {"train_images", std::to_string(train.size())},
                           {"test_images", std::to_string(data.test.size())}};
  header.config["model"] = {{"name", flags.model},
                            {"parameters", std::to_string(table.parameters)}};
  return header;
}

TrainCallbacks make_callbacks(Speaker& speaker) {
  TrainCallbacks callbacks;
  callbacks.on_step = [&speaker](const StepEvent& event) {
    speaker.progress().update({.epoch = event.epoch,
                               .epochs = event.epochs,
                               .step = event.step,
                               .steps = event.steps_per_epoch,
                               .loss = event.loss,
                               .accuracy = event.accuracy,
                               .learning_rate = event.learning_rate,
                               .images_per_second = event.images_per_second,
                               .seconds_left = event.seconds_left});
  };
  callbacks.on_epoch = [&speaker](const EpochEvent& event) {
    const EpochMetrics& row = event.metrics;
    speaker.say(format("epoch %2lld/%lld  train %.4f / %.2f %%   test %.4f / %.2f %%   %.1f s",
                       static_cast<long long>(row.epoch), static_cast<long long>(event.epochs),
                       row.train_loss, 100.0 * row.train_accuracy, row.test_loss,
                       100.0 * row.test_accuracy, row.seconds) +
                (event.is_best ? "   best" : ""));
  };
  callbacks.on_note = [&speaker](const std::string& text) { speaker.say("note      " + text); };
  callbacks.should_stop = [] { return interrupted(); };
  return callbacks;
}

TrainOptions make_options(const TrainFlags& flags, const TrainTest& data,
                          std::int64_t steps_per_epoch, const RunFolder* folder) {
  TrainOptions options;
  options.epochs = flags.dry_run ? 1 : flags.epochs;
  options.max_steps = flags.dry_run ? kDryRunSteps : 0;
  options.label_smoothing = flags.label_smoothing;
  options.clip_grad_norm = flags.clip_grad_norm;
  options.accumulation = flags.accumulation;
  options.overfit_batch = flags.overfit_batch;
  options.folder = folder;
  options.save_every_epochs = flags.save_every;
  options.save_every_steps = flags.save_every_steps;
  options.resume = flags.resume.has_value();
  options.record_convolutions = flags.conv_report;
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
    std::cout << "saved     "
              << (summary.best_epoch > 0 ? folder->best_file() : folder->last_file()) << "\n";
  }
}

}  // namespace

int run_training(const TrainProgram& program, Flags& parser, TrainFlags& flags) {
  std::optional<RunFolder> folder;
  if (flags.resume) {
    const std::string path =
        flags.resume->empty() ? newest_run(program.name, flags) : *flags.resume;
    folder = RunFolder::open(path);
    if (!folder->has_state() && fs::exists(folder->last_file())) {
      throw IoError("--resume: " + folder->state_file() + " is missing, but " +
                    folder->last_file() +
                    " is there: the run cannot go on where it stopped, and beginning anew would "
                    "overwrite its results; begin a new run");
    }
    restore_flags(*folder, parser);
    flags.output_dir = path;
  }
  if (flags.threads > 0) {
    kernels::set_num_threads(static_cast<int>(flags.threads));
  }
  const ChosenDevice chosen = take_device(flags.device);
  TrainTest data = program.load_data();
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
  const auto model = make_model(flags.model, {.classes = data.train.classes(),
                                              .in_channels = data.train.channels(),
                                              .image_size = image_size(data.train)});
  model->initialize(static_cast<std::uint64_t>(flags.seed));
  model->to(chosen.device);  // before the optimiser, whose state lives where the parameters do
  const auto optimizer = make_optimizer(flags, *model);
  DataLoader train_loader(data.train, {.batch_size = flags.batch_size,
                                       .shuffle = true,
                                       .seed = static_cast<std::uint64_t>(flags.seed),
                                       .device = chosen.device});
  DataLoader test_loader(
      data.test, {.batch_size = flags.eval_batch_size, .shuffle = false, .device = chosen.device});
  const std::int64_t steps_per_epoch = train_loader.batches_per_epoch();
  const LrFactor lr_factor = make_lr_factor(flags, steps_per_epoch);

  if (!folder && !flags.dry_run) {  // after all checks, so that a refused run leaves no folder
    folder = flags.output_dir.empty() ? create_named_by_time(program.name + "-" + flags.model)
                                      : RunFolder::create(flags.output_dir);
    flags.output_dir = folder->path();
  }
  const RunFolder* const place = folder ? &*folder : nullptr;
  Speaker speaker(
      flags.quiet,
      {.enabled = !flags.quiet, .bar = !flags.no_progress, .interval = flags.log_interval});
  speaker.write_to(place);
  const Header header =
      describe_run(program, flags, parser, data, chosen, *model, steps_per_epoch,
                   train_loader.device_bytes() + test_loader.device_bytes(), place);
  for (const std::string& line : header.lines) {
    speaker.say(line);
  }
  if (!data.train.source.warning.empty()) {
    speaker.warn(data.train.source.warning);
  }
  TrainCallbacks callbacks = make_callbacks(speaker);
  if (place != nullptr && !flags.resume) {
    place->write_config(header.config);
  } else if (place != nullptr) {
    // Only once the state has been taken up: a refused resume leaves the run as it was.
    callbacks.on_step = [report = callbacks.on_step, place, config = header.config,
                         written = false](const StepEvent& event) mutable {
      if (!written) {
        place->write_config(config);
        written = true;
      }
      report(event);
    };
  }

  install_interrupt_handler();
  const TrainOptions options = make_options(flags, data, steps_per_epoch, place);
  TrainSummary summary;
  try {
    summary = fit(options, *model, *optimizer, lr_factor, train_loader, test_loader, callbacks);
  } catch (const Error& error) {
    speaker.progress().clear();
    if (place != nullptr) {
      try {
        place->log(std::string("error: ") + error.what());
      } catch (const IoError&) {  // the disk may be what failed; the first error is the one to show
      }
    }
    throw;
  }
  speaker.progress().clear();
  if (place != nullptr) {
    write_summary(place->summary_file(), summary,
                  {{"model", flags.model}, {"dataset", data.train.name}, {"version", version()}});
  }
  if (flags.conv_report) {
    if (place != nullptr) {
      write_file_atomically(place->convolutions_file(), conv_csv(summary.convolutions));
    }
    std::cout << conv_table(summary.convolutions, summary.recorded_steps);
  }
  print_result(summary, place);
  if (summary.interrupted) {
    std::cout << "          go on with: " << program.name << " --resume " << flags.output_dir
              << "\n";
    return kExitInterrupted;
  }
  if (program.show) {
    program.show(*model, data.test);
  }
  if (flags.target_accuracy > 0.0 && !(summary.test_accuracy >= flags.target_accuracy)) {
    std::cerr << "error: test accuracy " << percent(summary.test_accuracy)
              << " is below --target-acc " << percent(flags.target_accuracy) << std::endl;
    return kExitTargetNotReached;
  }
  return kExitOk;
}

}  // namespace cks::apps
