#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/step_impl.h"

namespace cks::detail {

TextFields plans_of(const std::vector<ConvRecord>& records) {
  TextFields plans;
  for (const ConvRecord& record : records) {
    plans[formatted("{} {}, {}", record.module_path, record.pass,
                    kernels::to_string(record.problem))] = record.plan.to_string();
  }
  return plans;
}

std::vector<std::string> changed_plans(const TextFields& before, const TextFields& now) {
  std::vector<std::string> changes;
  for (const auto& [key, plan] : before) {
    const auto other = now.find(key);
    if (other != now.end() && other->second != plan) {
      changes.push_back(
          formatted("convolution {} ran with \"{}\" before, runs with \"{}\" now (another kind of "
                    "processor?): results may differ in their last bits",
                    key, plan, other->second));
    }
  }
  return changes;
}

}  // namespace cks::detail
