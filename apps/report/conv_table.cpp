#include "apps/report/conv_table.h"

#include <algorithm>
#include <optional>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

/// Sums over the problems of a module's pass, which differ in the size of the last batch. The plan
/// is that of the problem with the most calls.
std::vector<ConvRecord> by_module_and_pass(const std::vector<ConvRecord>& records) {
  std::vector<ConvRecord> sums;
  std::vector<std::int64_t> most_calls;
  for (const ConvRecord& record : records) {
    const auto same = std::find_if(sums.begin(), sums.end(), [&](const ConvRecord& sum) {
      return sum.pass == record.pass && sum.module_path == record.module_path;
    });
    if (same == sums.end()) {
      sums.push_back(record);
      most_calls.push_back(record.calls);
      continue;
    }
    std::int64_t& most = most_calls[static_cast<std::size_t>(same - sums.begin())];
    if (record.calls > most) {
      most = record.calls;
      same->plan = record.plan;
      same->problem = record.problem;
    }
    same->add(record);
  }
  return sums;
}

std::string error_text(const std::optional<double>& error) {
  return error ? formatted("{:.1e}", *error) : "-";
}

double ratio(std::int64_t a, std::int64_t b) {
  return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

std::string conv_table(const std::vector<ConvRecord>& records, std::int64_t steps) {
  if (records.empty() || steps < 1) {
    return "no convolution ran\n";
  }
  TextTable table({"convolution", "pass", "multiply-adds", "executed", "skipped", "executed/V",
                   "ms/step", "error", "plan"},
                  {false, false, true, true, true, true, true, true, false});
  ConvRecord total;
  for (const ConvRecord& sum : by_module_and_pass(records)) {
    table.add({sum.module_path, kernels::name_of(sum.pass), with_commas(sum.plain / steps),
               with_commas(sum.executed / steps), percent(1.0 - ratio(sum.executed, sum.plain)),
               formatted("{:.4f}", ratio(sum.executed, sum.exact)),
               formatted("{:.3f}", 1e3 * sum.seconds / static_cast<double>(steps)),
               error_text(sum.error), sum.plan.to_string()});
    total.add(sum);
  }
  table.rule();
  table.add({"total", "", with_commas(total.plain / steps), with_commas(total.executed / steps),
             percent(1.0 - ratio(total.executed, total.plain)),
             formatted("{:.4f}", ratio(total.executed, total.exact)),
             formatted("{:.3f}", 1e3 * total.seconds / static_cast<double>(steps)),
             error_text(total.error)});
  return table.to_string();
}

std::string conv_csv(const std::vector<ConvRecord>& records) {
  std::string csv =
      "module,pass,problem,plan,calls,multiply_adds,executed,v,executed_over_v,seconds,error\n";
  for (const ConvRecord& record : records) {
    csv += formatted("{},{},{},{},{},{},{},{},{:.6f},{:.9g},{}\n", record.module_path,
                     kernels::name_of(record.pass), quoted(kernels::to_string(record.problem)),
                     quoted(record.plan.to_string()), record.calls, record.plain, record.executed,
                     record.exact, ratio(record.executed, record.exact), record.seconds,
                     record.error ? formatted("{:.3e}", *record.error) : "");
  }
  return csv;
}

}  // namespace cks::apps
