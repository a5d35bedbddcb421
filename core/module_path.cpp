#include "cks/core/module_path.h"

#include <utility>

namespace cks {
namespace {

thread_local std::string current_path;

}  // namespace

const std::string& current_module_path() { return current_path; }

ModulePathScope::ModulePathScope(std::string path)
    : before_(std::exchange(current_path, std::move(path))) {}

ModulePathScope::~ModulePathScope() { current_path = std::move(before_); }

}  // namespace cks
