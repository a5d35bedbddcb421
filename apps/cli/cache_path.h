#pragma once
#include <string>

namespace cks::apps {

/// Where something is kept from one start to the next: cks/NAME in XDG_CACHE_HOME, or else in the
/// home folder's .cache. Empty where there is neither.
std::string cache_path(const std::string& name);

}  // namespace cks::apps
