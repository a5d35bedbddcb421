#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/profile/module_timer.h"

namespace cks::apps {

/// Milliseconds of a step that each module took, forward and backward, and its share of the sum;
/// `steps` is how many steps `times` are sums over.
std::string module_time_table(const std::vector<ModuleTime>& times, std::int64_t steps);

}  // namespace cks::apps
