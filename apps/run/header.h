#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/report/model_table.h"
#include "apps/run/train_flags.h"
#include "cks/datasets/dataset.h"
#include "cks/train/run_folder.h"

namespace cks::apps {

/// What computes, and with which build: the first lines of a run.
std::vector<std::string> describe_build(const ChosenDevice& chosen);

/// What every training program keeps of a run, whatever it trains: the sections "flags", "build",
/// "machine" and "data" of its config.json.
ConfigSections describe_program(const std::string& program, const Flags& parser,
                                const ChosenDevice& chosen, const TrainTest& data);

/// What is said of a run before it begins, without the lines of describe_build(). `device_bytes`
/// are those of the datasets' copies on a GPU; a dry run has no folder.
std::vector<std::string> describe_run(const TrainFlags& flags, const TrainTest& data,
                                      const ModelTable& table, std::int64_t steps_per_epoch,
                                      std::int64_t device_bytes, const RunFolder* folder);

}  // namespace cks::apps
