#include "apps/report/module_table.h"

#include <algorithm>

#include "apps/report/text_table.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {

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
