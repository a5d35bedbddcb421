#include "cks/core/profile/module_path.h"

namespace cks {
namespace {

thread_local std::string current_path;
thread_local ModulePass current_pass = ModulePass::forward;
thread_local ModulePathObserver* current_observer = nullptr;

void tell_observer() {
  if (current_observer != nullptr) {
    current_observer->moved(current_path, current_pass);
  }
}

}  // namespace

const std::string& current_module_path() { return current_path; }

ModulePathScope::ModulePathScope(std::string path, ModulePass pass)
    : path_before_(std::exchange(current_path, std::move(path))),
      pass_before_(std::exchange(current_pass, pass)) {
  tell_observer();
}

ModulePathScope::~ModulePathScope() {
  current_path = std::move(path_before_);
  current_pass = pass_before_;
  tell_observer();
}

std::string describe_module_place() {
  if (current_path.empty()) {
    return {};
  }
  return (current_pass == ModulePass::forward ? ", in module " : ", in backward of module ") +
         current_path;
}

ModulePathObserver* exchange_module_path_observer(ModulePathObserver* observer) {
  return std::exchange(current_observer, observer);
}

}  // namespace cks
