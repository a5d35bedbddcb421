#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// A run that came to its end, or was interrupted.
struct FinishedRun {
  std::int64_t seed = 0;
  std::string folder{};  // empty: nothing was written
  TrainSummary summary{};
  std::vector<EpochMetrics> rows{};  // of all its epochs
};

/// A run that has come to its end, early or with so many epochs or more, from its folder; nothing
/// of any other. Throws IoError.
std::optional<FinishedRun> read_if_done(const RunFolder& folder, std::int64_t epochs,
                                        std::int64_t seed);

struct MeanDeviation {
  double mean = 0.0;
  double deviation = 0.0;  // of a sample, with n - 1; 0 for one value
};

/// Throws Error without a value.
MeanDeviation mean_deviation(const std::vector<double>& values);

/// Seconds until the accuracy of an epoch (validation, or test without one) first was at least
/// `target`; negative if it never was.
double seconds_to(double target, const std::vector<EpochMetrics>& rows);

/// Several runs with mean and deviation of what they came to, for people; with a `target` above 0
/// also the time to it, over the runs that reached it.
std::string runs_table(const std::vector<FinishedRun>& runs, double target);

/// The same, a row for each run, without means.
std::string runs_csv(const std::vector<FinishedRun>& runs, double target);

}  // namespace cks::apps
