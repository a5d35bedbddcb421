#pragma once
#include <string>
#include <vector>

#include "apps/run/train_flags.h"

namespace cks::apps {

/// What --init-weights and --freeze ask for, in a model before its first step; returns lines that
/// say what was done. A resumed run has its weights already.
std::vector<std::string> prepare_weights(const TrainFlags& flags, Module& model);

}  // namespace cks::apps
