#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/conv_report.h"

namespace cks::apps {

/// A table of what convolutions did: for each module and pass the multiply-adds of one step before
/// and after skipping, executed / V, the time of one step, and the plan with its reason.
std::string conv_table(const std::vector<ConvRecord>& records, std::int64_t steps);

}  // namespace cks::apps
