#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/progress.h"
#include "cks/datasets/dataset.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// How much a training program says while it works.
struct OutputFlags {
  std::int64_t log_interval = 50;
  bool no_progress = false;
  bool quiet = false;
};

/// Adds them, under the title "Output".
void add_output_flags(Flags& flags, OutputFlags& values);

/// Says things on stderr unless quiet, and always in the run's log.
class Speaker {
 public:
  /// `folder`, whose log is written, must outlive the speaker; null: no log.
  Speaker(const OutputFlags& flags, const RunFolder* folder);
  Progress& progress() { return progress_; }

  void say(const std::string& line);
  /// Quiet or not.
  void warn(const std::string& line);
  /// In the log alone.
  void log(const std::string& line);

 private:
  bool quiet_;
  Progress progress_;
  const RunFolder* folder_;
};

/// Warnings of both halves; every picture that was left out goes into the log.
void report_data(Speaker& speaker, const TrainTest& data);

/// Callbacks that show every step, with its accuracy if the loss has one, say a line after every
/// epoch and all notes, and stop at an interrupt. The speaker must outlive them.
TrainCallbacks make_callbacks(Speaker& speaker, bool has_accuracy,
                              const std::function<std::string(const EpochEvent&)>& describe_epoch);

}  // namespace cks::apps
