#pragma once
#include <functional>
#include <string>

#include "apps/cli/flags.h"
#include "apps/cli/progress.h"
#include "cks/datasets/image_folder.h"

namespace cks::apps {

/// Where something is kept from one start to the next: cks/NAME in XDG_CACHE_HOME, or else in the
/// home folder's .cache. Empty where there is neither.
std::string cache_path(const std::string& name);
/// Where decoded pictures are.
inline std::string picture_cache_folder() { return cache_path("pictures"); }
/// Where ConvTuning's answers are.
inline std::string conv_plans_file() { return cache_path("conv_plans.txt"); }

constexpr const char* kTuneHelp =
    "time kernels before a convolution first uses them and take the fastest; answers are kept (in "
    "$XDG_CACHE_HOME or ~/.cache, cks/conv_plans.txt)";

constexpr const char* kNoCacheHelp =
    "decode pictures anew and keep none of them for the next time (in $XDG_CACHE_HOME or ~/.cache, "
    "cks/pictures, 2 GiB at most)";

/// Adds --fit; `what` begins its help.
void add_fit_flag(Flags& parser, std::string& fit, const std::string& what);

/// Shows how many pictures were read. The progress must outlive it.
std::function<void(const ReadingProgress&)> show_reading(Progress& progress);

}  // namespace cks::apps
