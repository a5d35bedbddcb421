#pragma once
#include <map>
#include <string>

namespace cks::apps {

/// The name that a mistyped one most likely stands for. What a name means may be spelt in its
/// place: `learning-rate` finds `lr`, of which `meanings` says "learning rate; the highest ...".
/// A word of the name will do: `warmup` finds `lr-warmup-epochs`.
///
/// Returns "" where nothing is near: more than a third of the letters, rounded up, would
/// have to change.
std::string nearest_name(const std::string& typed,
                         const std::map<std::string, std::string>& meanings);

}  // namespace cks::apps
