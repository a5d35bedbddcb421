#pragma once
#include <string>

namespace cks {

/// Path of the module whose forward pass runs on this thread ("layer1.0.conv1"), for error messages
/// and reports; empty outside of modules. A node remembers the path of its forward pass and
/// restores it for backward.
const std::string& current_module_path();

/// Sets it until the end of the scope.
class ModulePathScope {
 public:
  explicit ModulePathScope(std::string path);
  ~ModulePathScope();
  ModulePathScope(const ModulePathScope&) = delete;
  ModulePathScope& operator=(const ModulePathScope&) = delete;

 private:
  std::string before_;
};

}  // namespace cks
