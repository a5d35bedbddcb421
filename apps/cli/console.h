#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/progress.h"
#include "cks/datasets/dataset.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace spdlog {
class logger;
}

namespace cks::apps {

/// How much a training program says while it works.
struct OutputFlags {
  std::int64_t log_interval = 50;
  bool no_progress = false;
  bool quiet = false;
  bool tensorboard = false;
};

/// Adds them, under the title "Output".
void add_output_flags(Flags& flags, OutputFlags& values);

/// What a training program says: a logger whose sinks are stderr, where the progress line makes
/// room for each text, and the run.log of a run. Each of them throws IoError if the latter cannot
/// be written.
class Console {
 public:
  /// Without a folder nothing is logged.
  explicit Console(const OutputFlags& flags, const RunFolder* folder = nullptr);
  Progress& progress() { return *progress_; }

  /// On stderr unless quiet, and in the log.
  void say(const std::string& line);
  /// Quiet or not.
  void warn(const std::string& line);
  /// In the log alone.
  void log(const std::string& line);

 private:
  std::shared_ptr<Progress> progress_;
  std::shared_ptr<spdlog::logger> logger_;
};

/// Warnings of both halves; every picture that was left out goes into the log.
void report_data(Console& console, const TrainTest& data);

/// Callbacks that show every step, say a line after every epoch, both with the accuracy if the loss
/// has one, and all notes, and stop at an interrupt. The console must outlive them.
TrainCallbacks make_callbacks(Console& console, bool has_accuracy);

}  // namespace cks::apps
