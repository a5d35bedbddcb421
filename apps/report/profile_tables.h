#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/conv/conv_report.h"
#include "cks/core/profile/module_timer.h"

/// Tables of what a run measured on the way, as TrainProfile asks for.
namespace cks::apps {

/// A table of what convolutions did, within 120 columns, below what its columns mean: for each
/// module and pass the multiply-adds of one step before and after skipping, executed / V, the time
/// of one step, the error against the reference ("-" if it was not measured), and the plan.
std::string conv_table(const std::vector<ConvRecord>& records, std::int64_t steps);

/// The records as they are, sums over all calls, as CSV with a header: module, pass, problem, plan,
/// calls, multiply-adds before and after skipping and V, executed / V, seconds, error (empty if it
/// was not measured).
std::string conv_csv(const std::vector<ConvRecord>& records);

/// Milliseconds of a step that each module took, forward and backward, and its share of the sum;
/// `steps` is how many steps `times` are sums over.
std::string module_time_table(const std::vector<ModuleTime>& times, std::int64_t steps);

}  // namespace cks::apps
