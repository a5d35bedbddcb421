#pragma once
#include <cstdint>
#include <string>

namespace cks {

/// Path of the module whose forward pass runs on this thread ("layer1.0.conv1"), for error messages
/// and reports; empty outside of modules. A node remembers the path of its forward pass and
/// restores it for backward.
const std::string& current_module_path();

/// Which pass of a module's operations runs.
enum class ModulePass : std::uint8_t { forward, backward };

/// Sets it until the end of the scope.
class ModulePathScope {
 public:
  explicit ModulePathScope(std::string path, ModulePass pass = ModulePass::forward);
  ~ModulePathScope();
  ModulePathScope(const ModulePathScope&) = delete;
  ModulePathScope& operator=(const ModulePathScope&) = delete;

 private:
  std::string path_before_;
  ModulePass pass_before_;
};

/// Is told of every change of path or pass on the thread that it was set on.
class ModulePathObserver {
 public:
  virtual ~ModulePathObserver() = default;
  virtual void moved(const std::string& path, ModulePass pass) noexcept = 0;
};

/// Sets this thread's observer, null for none, and returns the one before. It must outlive its
/// turn.
ModulePathObserver* exchange_module_path_observer(ModulePathObserver* observer);

}  // namespace cks
