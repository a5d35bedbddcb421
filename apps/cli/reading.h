#pragma once
#include <functional>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/cli/progress.h"
#include "cks/datasets/image_folder.h"

namespace cks::apps {

/// Where decoded pictures are kept from one start to the next.
inline std::string picture_cache_folder() { return cache_path("pictures"); }

constexpr const char* kNoCacheHelp =
    "decode pictures anew and keep none of them for the next time (in $XDG_CACHE_HOME or ~/.cache, "
    "cks/pictures, 2 GiB at most)";

/// Adds --fit; `what` begins its help.
void add_fit_flag(Flags& parser, std::string& fit, const std::string& what);

/// Shows how many pictures were read. The progress must outlive it.
std::function<void(const ReadingProgress&)> show_reading(Progress& progress);

}  // namespace cks::apps
