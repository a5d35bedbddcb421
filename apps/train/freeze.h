#pragma once
#include <string>
#include <vector>

#include "cks/layers/module.h"

namespace cks {

/// Freezes the parameters whose path, or that of a module they are in, matches one of the patterns
/// of a shell, with commas between: "conv*", "layer1,layer2.*.weight". Returns their paths. Running
/// statistics move on: see Module::set_requires_grad.
/// Throws Error, freezing nothing, for a pattern that matches nothing, or if no parameter is left
/// to train.
std::vector<std::string> freeze(Module& model, const std::string& patterns);

}  // namespace cks
