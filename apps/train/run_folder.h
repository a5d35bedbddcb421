#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cks/core/error.h"

namespace cks {

/// One row of metrics.csv: an epoch.
struct EpochMetrics {
  std::int64_t epoch = 0;  // from 1
  std::int64_t step = 0;   // of the whole run, at the end of the epoch
  double seconds = 0.0;    // since the run began, pauses between resumes left out
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double test_loss = 0.0;  // of the validation half, if the run has one
  double test_accuracy = 0.0;
  double learning_rate = 0.0;  // of the epoch's last step
  double images_per_second = 0.0;
  double peak_mib = 0.0;  // peak resident memory of the process
  /// The test columns are those of the validation half; metrics.csv calls them val_loss, val_acc.
  bool on_validation = false;

  friend bool operator==(const EpochMetrics&, const EpochMetrics&) = default;
};

/// Text by name, in order; becomes one JSON object.
using TextFields = std::map<std::string, std::string>;
/// Numbers by name, likewise.
using NumberFields = std::map<std::string, double>;
/// Objects by name: the sections of config.json ("flags", "build", ...).
using ConfigSections = std::map<std::string, TextFields>;

/// The folder that holds everything a run writes. By fit():
///
///   metrics.csv     a row for each epoch
///   best.safetensors, last.safetensors    weights, for PyTorch and predictions
///   last.state.safetensors                everything that a resume needs
///   epoch-0012.safetensors                weights of the last epochs, if they are to be kept
///   run.lock        which process writes, as long as it does (see lock())
///   config.json     the section "conv_plans"; others stay as the caller wrote them
///
/// By its caller, as the training programs do:
///
///   config.json     flags, version, build, device, data: write_config()
///   run.log         what was said, line by line: log()
///   summary.json    the result, once the run has ended: write_summary()
///   report.html     the result as a page; its figures curves.svg, confusion.svg, filters.svg and
///                   savings.svg, and confusion.csv
///   convolutions.csv    what each convolution did
///
/// Files are written to a temporary name and renamed, except run.log and metrics.csv, which grow.
class RunFolder {
 public:
  /// Makes the folder for a new run. Throws IoError, saying how to go on, if it already holds a
  /// run, or if it cannot be made or written to.
  static RunFolder create(const std::string& path);
  /// The same, but nothing if it already holds a run.
  static std::optional<RunFolder> try_create(const std::string& path);
  /// Opens the folder of a run that was begun. Throws IoError if it holds none.
  static RunFolder open(const std::string& path);
  /// True if the folder holds files of a run.
  static bool holds_run(const std::string& path);

  /// Takes the folder for this process: one process writes into it at a time. It is free again when
  /// the results of all calls are gone, of copies of this object as well, or the process is,
  /// however it ended. Throws IoError, naming the process, where another one holds it (or another
  /// object).
  std::shared_ptr<const void> lock() const;
  /// The process that holds a folder: "train_mnist, process 4711 on host lab1"; empty: none does.
  static std::string writer_of(const std::string& path);

  const std::string& path() const { return path_; }
  /// Path of a file in the folder.
  std::string file(const std::string& name) const;
  std::string config_file() const { return file("config.json"); }
  std::string metrics_file() const { return file("metrics.csv"); }
  std::string summary_file() const { return file("summary.json"); }
  std::string report_file() const { return file("report.html"); }
  std::string convolutions_file() const { return file("convolutions.csv"); }
  std::string log_file() const { return file("run.log"); }
  std::string best_file() const { return file("best.safetensors"); }
  std::string last_file() const { return file("last.safetensors"); }
  std::string state_file() const { return file("last.state.safetensors"); }
  /// Weights after an epoch, from 1.
  std::string epoch_file(std::int64_t epoch) const;
  /// Removes those of epochs up to `last_epoch`; other files stay. Throws IoError.
  void remove_epoch_files(std::int64_t last_epoch) const;
  bool has_state() const;
  bool has_config() const;

  /// The whole of config.json; write_config replaces it. Throws IoError, also for a text that is
  /// not UTF-8.
  ConfigSections read_config() const;
  void write_config(const ConfigSections& sections) const;

  /// Appends a row, after the header if the file is new. Throws IoError.
  void append_metrics(const EpochMetrics& row) const;
  std::vector<EpochMetrics> read_metrics() const;
  /// Drops the rows of later epochs and a half-written last line: a resumed run writes them anew.
  void truncate_metrics(std::int64_t last_epoch) const;

  /// Appends a line with the time of day. Throws IoError.
  void log(const std::string& line) const;

 private:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}
  void append(const std::string& name, const std::string& text) const;

  std::string path_;
  std::shared_ptr<std::weak_ptr<const void>> lock_ = std::make_shared<std::weak_ptr<const void>>();
};

}  // namespace cks
