#include <cstdlib>

#include "cks/datasets/readers/data_roots_impl.h"

namespace cks {

namespace fs = std::filesystem;

std::vector<fs::path> data_roots(const std::string& dir) {
  std::vector<fs::path> roots;
  if (!dir.empty()) {
    roots.emplace_back(dir);
  } else {
    const char* variable = std::getenv("CKS_DATA_DIR");
    if (variable != nullptr && *variable != '\0') {
      roots.emplace_back(variable);
    }
    roots.emplace_back("data");
  }
  for (fs::path& root : roots) {
    root = fs::absolute(root).lexically_normal();
  }
  return roots;
}

std::string how_to_fetch(const std::string& dataset, const std::string& dir) {
  std::string text;
  if (dir.empty() && std::getenv("CKS_DATA_DIR") == nullptr) {
    text += "\n  note       CKS_DATA_DIR is not set, so only ./data was searched";
  }
  return text + "\n  fix        scripts/get_data.sh " + dataset + " --dir " +
         (dir.empty() ? "data" : dir);
}

}  // namespace cks
