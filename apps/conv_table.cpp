#include "apps/conv_table.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "apps/app.h"
#include "apps/text_table.h"

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
    same->calls += record.calls;
    same->executed += record.executed;
    same->exact += record.exact;
    same->plain += record.plain;
    same->seconds += record.seconds;
  }
  return sums;
}

std::string fixed(double value, int digits) {
  std::array<char, 48> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
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
                   "ms/step", "plan"},
                  {false, false, true, true, true, true, true, false});
  ConvRecord total;
  for (const ConvRecord& sum : by_module_and_pass(records)) {
    table.add({sum.module_path, kernels::name_of(sum.pass), with_commas(sum.plain / steps),
               with_commas(sum.executed / steps), percent(1.0 - ratio(sum.executed, sum.plain)),
               fixed(ratio(sum.executed, sum.exact), 4),
               fixed(1e3 * sum.seconds / static_cast<double>(steps), 3), sum.plan.to_string()});
    total.plain += sum.plain;
    total.executed += sum.executed;
    total.exact += sum.exact;
    total.seconds += sum.seconds;
  }
  table.rule();
  table.add({"total", "", with_commas(total.plain / steps), with_commas(total.executed / steps),
             percent(1.0 - ratio(total.executed, total.plain)),
             fixed(ratio(total.executed, total.exact), 4),
             fixed(1e3 * total.seconds / static_cast<double>(steps), 3)});
  return table.to_string();
}

}  // namespace cks::apps
