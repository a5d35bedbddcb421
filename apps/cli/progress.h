#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

#include "cks/datasets/image_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// How a progress line is written.
struct ProgressStyle {
  bool bar = false;
  bool colour = false;
  std::int64_t columns = 0;  // most that the line may take; 0: any number
};

/// "epoch  3/10 [=====>    ] 196/469  loss 0.612  acc 81.2 %  lr 0.001  21.4k img/s  ETA 0:09".
/// Where that is too wide the bar becomes shorter, and parts are left out: first the learning rate,
/// then images per second, the bar, the accuracy, the time left, the loss, the step; at last the
/// epoch is cut off.
std::string format_progress(const StepEvent& event, const ProgressStyle& style,
                            bool has_accuracy = true);
/// "pictures [=====>    ] 120/10000  231 pictures/s  ETA 0:43", likewise;
/// `seconds` are those since the first of them.
std::string format_progress(const ReadingProgress& read, double seconds,
                            const ProgressStyle& style);

/// 83.4 -> "1:23", 3661 -> "1:01:01".
std::string format_duration(double seconds);
/// 21432 -> "21.4k", 812 -> "812".
std::string format_count(double count);

/// Columns of the terminal behind a file, asked for anew each time; 80 where it does not know, 0
/// where there is no terminal.
std::int64_t terminal_columns(std::FILE* file);

/// Shows a running epoch: a bar that redraws itself on a terminal (in colour unless NO_COLOR is
/// set; not on one that TERM calls dumb), one plain line every `interval` steps otherwise (at the
/// first step reported from there on), nothing when switched off. Of pictures that are read the
/// plain lines come every few seconds. No line is wider than the terminal is at that moment.
class Progress {
 public:
  struct Options {
    bool enabled = true;
    bool bar = true;
    std::int64_t interval = 50;
  };
  explicit Progress(Options options, std::FILE* out = stderr);

  void update(const StepEvent& event, bool has_accuracy = true);
  void update(const ReadingProgress& read, double seconds);
  /// Takes the bar away, so that a line can be printed.
  void clear();

 private:
  ProgressStyle style() const;
  /// Draws the line anew, not too often, the last one always; where there is no terminal prints it
  /// if it is due.
  void show(const std::function<std::string()>& line, bool is_last, bool is_due);

  Options options_;
  std::FILE* out_;
  bool redraws_;
  bool colour_;
  bool drawn_ = false;
  std::int64_t last_epoch_ = 0;  // of the last update
  std::int64_t last_step_ = 0;
  std::chrono::steady_clock::time_point last_draw_;
};

}  // namespace cks::apps
