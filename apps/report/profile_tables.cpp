#include "apps/report/profile_tables.h"

#include <algorithm>
#include <string_view>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

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

double ratio(std::int64_t a, std::int64_t b) {
  return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
}

/// 750 -> "750", 75497472 -> "75.50 M".
std::string scaled(std::int64_t count) {
  constexpr std::int64_t kExact = 100'000;
  double value = static_cast<double>(count);
  std::string_view unit = " kMGTP";
  if (count < kExact) {
    return with_commas(count);
  }
  while (value >= 1e3 && unit.size() > 1) {
    value /= 1e3;
    unit.remove_prefix(1);
  }
  return formatted("{:.2f} {}", value, unit.front());
}

/// The end of a path, where it is long: that tells layers apart.
std::string shortened(const std::string& path) {
  constexpr std::size_t kMost = 24;
  return path.size() <= kMost ? path : "..." + path.substr(path.size() - kMost + 3);
}

/// How it is computed, without sizes and reasons, which convolutions.csv has.
std::string describe_plan(const kernels::Conv2dPlan& plan) {
  const std::string method = plan.method();
  const std::string kernel = method == plan.kernel ? method
                                                   : formatted("{} {} {}x{}", method, plan.kernel,
                                                               plan.tile.rows, plan.tile.columns);
  return formatted("{} {}{}", kernel, plan.arithmetic,
                   plan.split_k > 1 ? formatted(" split-K {}", plan.split_k) : "");
}

/// No line wider than a terminal of a report is.
std::string within_columns(const std::string& text) {
  constexpr std::size_t kColumns = 120;
  std::string result;
  for (std::string& line : split(text, '\n')) {
    if (line.size() > kColumns) {
      line.replace(kColumns - 3, std::string::npos, "...");
    }
    result += line + "\n";
  }
  return result;
}

/// The cells of a row, from its name on.
std::vector<std::string> row_of(const std::string& name, const ConvRecord& sum, std::int64_t steps,
                                const std::string& plan) {
  return {name,
          scaled(sum.plain / steps),
          scaled(sum.executed / steps),
          percent(1.0 - ratio(sum.executed, sum.plain)),
          formatted("{:.4f}", ratio(sum.executed, sum.exact)),
          formatted("{:.3f}", 1e3 * sum.seconds / static_cast<double>(steps)),
          sum.error ? formatted("{:.1e}", *sum.error) : "-",
          plan};
}

}  // namespace

std::string conv_table(const std::vector<ConvRecord>& records, std::int64_t steps) {
  if (records.empty() || steps < 1) {
    return "no convolution ran\n";
  }
  TextTable table(
      {"convolution", "plain", "executed", "skipped", "executed/V", "ms/step", "error", "plan"},
      {false, true, true, true, true, true, true, false});
  const std::vector<ConvRecord> sums = by_module_and_pass(records);
  std::vector<std::string> modules;
  ConvRecord total;
  for (const ConvRecord& sum : sums) {
    total.add(sum);
    if (!contains(modules, sum.module_path)) {
      modules.push_back(sum.module_path);
    }
  }
  for (const std::string& module : modules) {
    table.add({shortened(module)});
    for (const ConvRecord& sum : sums) {
      if (sum.module_path == module) {
        table.add(row_of(formatted("  {}", sum.pass), sum, steps, describe_plan(sum.plan)));
      }
    }
  }
  table.rule();
  table.add(row_of("total", total, steps, ""));
  return "plain: multiply-adds of a step, with every zero of padding and stride; executed: those "
         "that were computed;\nV: those in which neither factor is such a zero, the fewest that "
         "give the result, so executed/V = 1 wastes none;\nerror: the greatest, relative, against "
         "the float64 reference (- if not measured)\n\n" +
         within_columns(table.to_string());
}

std::string conv_csv(const std::vector<ConvRecord>& records) {
  std::string csv =
      "module,pass,problem,plan,calls,multiply_adds,executed,v,executed_over_v,seconds,error\n";
  for (const ConvRecord& record : records) {
    csv += formatted("{},{},{},{},{},{},{},{},{:.6f},{:.9g},{}\n", record.module_path, record.pass,
                     quoted_cell(kernels::to_string(record.problem)),
                     quoted_cell(record.plan.to_string()), record.calls, record.plain,
                     record.executed, record.exact, ratio(record.executed, record.exact),
                     record.seconds, record.error ? formatted("{:.3e}", *record.error) : "");
  }
  return csv;
}

std::string module_time_table(const std::vector<ModuleTime>& times, std::int64_t steps) {
  ModuleTime total;
  for (const ModuleTime& time : times) {
    total.forward += time.forward;
    total.backward += time.backward;
  }
  const double sum = total.forward + total.backward;
  const auto milliseconds = [&](double seconds) {
    return formatted("{:.3f}",
                     1e3 * seconds / static_cast<double>(std::max<std::int64_t>(steps, 1)));
  };
  TextTable table({"layer", "forward ms", "backward ms", "share"}, {false, true, true, true});
  const auto add = [&](const std::string& name, const ModuleTime& time) {
    table.add({name, milliseconds(time.forward), milliseconds(time.backward),
               percent(sum > 0.0 ? (time.forward + time.backward) / sum : 0.0)});
  };
  // What no layer did comes last: the model's own operations, loss, clipping and optimiser, which
  // count as forward.
  for (const bool is_layer : {true, false}) {
    for (const ModuleTime& time : times) {
      if (time.module_path.empty() != is_layer) {
        add(is_layer ? time.module_path : "(model, loss, optimiser)", time);
      }
    }
  }
  table.rule();
  add("total of a step", total);
  return formatted("{}mean of {} steps\n", table, steps);
}

}  // namespace cks::apps
