#include "apps/run/seeds.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "apps/report/text_table.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

std::string number(double value, int digits) { return formatted("{:.{}f}", value, digits); }

/// "12.3 +- 0.4".
std::string mean_text(const std::vector<double>& values, int digits) {
  if (values.empty()) {
    return "-";
  }
  const MeanDeviation result = mean_deviation(values);
  return number(result.mean, digits) + " +- " + number(result.deviation, digits);
}

bool on_validation(const std::vector<FinishedRun>& runs) {
  return !runs.empty() && runs.front().summary.validation.has_value();
}

}  // namespace

std::optional<FinishedRun> read_if_done(const RunFolder& folder, std::int64_t epochs,
                                        std::int64_t seed) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder.summary_file(), ignored)) {
    return std::nullopt;
  }
  const TrainSummary summary = read_summary(folder.summary_file());
  if (summary.interrupted || !(summary.stopped_early || summary.epochs >= epochs)) {
    return std::nullopt;
  }
  return FinishedRun{seed, folder.path(), summary, folder.read_metrics()};
}

MeanDeviation mean_deviation(const std::vector<double>& values) {
  if (values.empty()) {
    throw Error("mean_deviation: there are no values");
  }
  const auto count = static_cast<double>(values.size());
  MeanDeviation result{.mean = std::accumulate(values.begin(), values.end(), 0.0) / count};
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - result.mean) * (value - result.mean);
  }
  result.deviation = values.size() == 1 ? 0.0 : std::sqrt(squares / (count - 1.0));
  return result;
}

double seconds_to(double target, const std::vector<EpochMetrics>& rows) {
  const auto reached = std::find_if(rows.begin(), rows.end(), [&](const EpochMetrics& row) {
    return row.test_accuracy >= target;
  });
  return reached == rows.end() ? -1.0 : reached->seconds;
}

std::string runs_table(const std::vector<FinishedRun>& runs, double target) {
  const bool validates = on_validation(runs);
  std::vector<std::string> header{"seed", validates ? "test %" : "last test %",
                                  validates ? "best validation %" : "best test %", "seconds"};
  if (target > 0.0) {  // without it the table leaves its cells out
    header.push_back("seconds to " + percent(target));
  }
  TextTable table(header, {true, true, true, true, true});
  std::vector<double> last;
  std::vector<double> best;
  std::vector<double> seconds;
  std::vector<double> to_target;
  for (const FinishedRun& run : runs) {
    last.push_back(100.0 * run.summary.test_accuracy);
    best.push_back(100.0 * run.summary.best_accuracy());
    seconds.push_back(run.summary.seconds);
    const double reached = seconds_to(target, run.rows);
    if (reached >= 0.0) {
      to_target.push_back(reached);
    }
    table.add({std::to_string(run.seed), number(last.back(), 2), number(best.back(), 2),
               number(seconds.back(), 1), reached < 0.0 ? "never" : number(reached, 1)});
  }
  table.rule();
  table.add({"mean +- deviation", mean_text(last, 2), mean_text(best, 2), mean_text(seconds, 1),
             mean_text(to_target, 1)});
  return table.to_string() + (target > 0.0
                                  ? formatted("{} of {} runs reached {}\n", to_target.size(),
                                              runs.size(), percent(target))
                                  : "");
}

std::string runs_csv(const std::vector<FinishedRun>& runs, double target) {
  std::string text = formatted("seed,test_acc,best_{}_acc,seconds,seconds_to_target,folder\n",
                               on_validation(runs) ? "val" : "test");
  for (const FinishedRun& run : runs) {
    const double reached = target > 0.0 ? seconds_to(target, run.rows) : -1.0;
    text += formatted("{},{:.17g},{:.17g},{:.17g},{},{}\n", run.seed, run.summary.test_accuracy,
                      run.summary.best_accuracy(), run.summary.seconds,
                      reached < 0.0 ? "" : formatted("{:.17g}", reached), quoted_cell(run.folder));
  }
  return text;
}

}  // namespace cks::apps
