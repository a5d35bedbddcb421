#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/run/train_flags.h"
#include "cks/datasets/dataset.h"
#include "cks/layers/module.h"
#include "cks/train/run_folder.h"

namespace cks::apps {

/// What a run is made of.
struct RunParts {
  const std::string& program;
  const TrainFlags& flags;
  const Flags& parser;
  const TrainTest& data;
  const ChosenDevice& chosen;
  Module& model;
  std::int64_t steps_per_epoch = 0;
  std::int64_t device_bytes = 0;  // of the datasets' copies on a GPU
  const RunFolder* folder = nullptr;
};

/// What is said of a run before it begins, and kept in its config.json.
struct RunHeader {
  std::vector<std::string> lines;
  ConfigSections config;
};

/// What computes, and with which build: the first lines of a run.
std::vector<std::string> describe_build(const ChosenDevice& chosen);

/// What every training program keeps of a run, whatever it trains: the sections "flags", "build",
/// "machine" and "data" of its config.json.
ConfigSections describe_program(const std::string& program, const Flags& parser,
                                const ChosenDevice& chosen, const TrainTest& data);

/// Without the lines of describe_build().
RunHeader describe_run(const RunParts& parts);

}  // namespace cks::apps
