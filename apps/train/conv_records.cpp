#include <algorithm>

#include "cks/train/step_impl.h"

namespace cks::detail {

std::string plan_key(const ConvRecord& record) {
  return record.module_path + " " + kernels::name_of(record.pass) + ", " +
         kernels::to_string(record.problem);
}

void merge_records(std::vector<ConvRecord>& into, const std::vector<ConvRecord>& from) {
  for (const ConvRecord& record : from) {
    const auto same = std::find_if(into.begin(), into.end(), [&](const ConvRecord& other) {
      return other.pass == record.pass && other.module_path == record.module_path &&
             other.problem == record.problem && other.plan.to_string() == record.plan.to_string();
    });
    if (same == into.end()) {
      into.push_back(record);
      continue;
    }
    same->add(record);
  }
}

}  // namespace cks::detail
