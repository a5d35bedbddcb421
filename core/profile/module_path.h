#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "cks/core/error.h"

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

/// ", in module layer1.0.conv1" or ", in backward of module layer1.0.conv1", of this thread's path
/// and pass; empty outside of modules.
std::string describe_module_place();

/// Runs `body` in the scope of a path and returns what it returns. An Error that leaves it keeps
/// its type and names the module at the end of its message, unless a module inside has done so;
/// other exceptions pass untouched.
template <class Body>
auto in_module(std::string path, Body&& body, ModulePass pass = ModulePass::forward) {
  const ModulePathScope scope(std::move(path), pass);
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    if (const std::string place = describe_module_place(); !place.empty()) {
      error.append_place(place);
    }
    throw;
  }
}

/// Is told of every change of path or pass on the thread that it was set on.
class ModulePathObserver {
 public:
  virtual ~ModulePathObserver() = default;
  virtual void moved(const std::string& path, ModulePass pass) noexcept = 0;  // to there
};

/// Sets this thread's observer, null for none, and returns the one before. It must outlive its
/// turn.
ModulePathObserver* exchange_module_path_observer(ModulePathObserver* observer);

}  // namespace cks
