#pragma once
#include <string>

namespace cks::apps {

/// Where runs go that name no folder.
constexpr const char* kRunsFolder = "runs";

/// Lets runs/latest lead to a run in runs; one elsewhere leaves it as it is. A file system without
/// links has none.
void link_latest(const std::string& run);

/// best.safetensors of the run that runs/latest leads to, or last.safetensors where there is none.
/// Throws IoError.
std::string latest_weights();

}  // namespace cks::apps
