#include "apps/cli/cache_path.h"

#include <cstdlib>
#include <filesystem>

namespace cks::apps {

namespace fs = std::filesystem;

std::string cache_path(const std::string& name) {
  const auto folder = [](const char* variable) {
    const char* const value = std::getenv(variable);
    const fs::path path(value == nullptr ? "" : value);
    return path.is_absolute() ? path : fs::path();  // others are not lawful there
  };
  fs::path cache = folder("XDG_CACHE_HOME");
  if (const fs::path home = folder("HOME"); cache.empty() && !home.empty()) {
    cache = home / ".cache";
  }
  return cache.empty() ? "" : (cache / "cks" / name).string();
}

}  // namespace cks::apps
