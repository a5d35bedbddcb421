#include "cks/layers/module.h"

#include <cxxabi.h>

#include <cstdlib>
#include <typeinfo>
#include <unordered_set>

#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

// The tree of modules, what it holds, and running it. States for files are in module_state.cpp.

namespace cks {
namespace {

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

}  // namespace

// --- The tree of modules ------------------------------------------------------------------------

Module::Module(Module* parent, std::string name) : parent_(parent), name_(std::move(name)) {
  if (parent_ != nullptr) {
    parent_->require_free(name_);
    parent_->children_.push_back(this);
    training_ = parent_->training_;
  }
}

Module::~Module() {
  if (parent_ != nullptr) {
    std::erase(parent_->children_, this);
  }
  for (Module* child : children_) {  // those that outlive this module become roots
    child->parent_ = nullptr;
  }
}

void Module::require_free(const std::string& name) const {
  const auto fail = [&](const char* why) {
    throw Error(formatted("module {}: the name \"{}\" {}", path().empty() ? type_name() : path(),
                          name, why));
  };
  if (name.empty()) {
    fail("is empty");
  }
  if (name.find('.') != std::string::npos) {
    fail("has a dot, which separates modules in a path");
  }
  const auto taken_by_child = [&](const Module* child) { return child->name_ == name; };
  const auto taken_by_entry = [&](const Entry& entry) { return entry.name == name; };
  if (any_of(children_, taken_by_child) || any_of(entries_, taken_by_entry)) {
    fail("is taken");
  }
}

std::string Module::path() const {
  return parent_ == nullptr ? std::string() : join(parent_->path(), name_);
}

std::string Module::type_name() const {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(typeid(*this).name(), nullptr, nullptr, &status), std::free);
  const std::string full = status == 0 ? text.get() : typeid(*this).name();
  const std::size_t colon = full.rfind(':');
  return colon == std::string::npos ? full : full.substr(colon + 1);
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> all = {this};
  for (Module* child : children_) {
    const std::vector<Module*> below = child->modules();
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

void Module::train(bool on) {
  for (Module* module : modules()) {
    module->training_ = on;
  }
}

// --- Running ------------------------------------------------------------------------------------

Tensor Module::forward(const Tensor&) {
  throw Error(type_name() + " has no forward() of one tensor (call its own member function)");
}

Tensor Module::operator()(const Tensor& input) {
  return call([&] { return forward(input); }, input);
}

const Module::ForwardHook& Module::hook_of_root() const {
  return parent_ == nullptr ? hook_ : parent_->hook_of_root();
}

// --- Tensors ------------------------------------------------------------------------------------

void Module::add_entry(std::string name, Tensor& member, Tensor value, StateLayout layout,
                       Role role) {
  require_free(name);
  if (!value.defined()) {
    throw Error(formatted("module {}: the value of \"{}\" is undefined", path(), name));
  }
  if (layout == StateLayout::filter && value.rank() != 4) {
    throw ShapeError(
        formatted("module {}: \"{}\" is no filter of rank 4, got {}", path(), name, value.shape()));
  }
  member = std::move(value);
  entries_.push_back({std::move(name), &member, layout, role});
}

void Module::register_parameter(std::string name, Tensor& member, Tensor value,
                                StateLayout layout) {
  add_entry(std::move(name), member, std::move(value), layout, Role::parameter);
  member.set_requires_grad();
}

void Module::register_buffer(std::string name, Tensor& member, Tensor value) {
  add_entry(std::move(name), member, std::move(value), StateLayout::as_is, Role::buffer);
}

void Module::register_training_state(std::string name, Tensor& member, Tensor value) {
  add_entry(std::move(name), member, std::move(value), StateLayout::as_is, Role::training_state);
}

Module::PathEntries Module::entries(const std::string& prefix) const {
  PathEntries all;
  for (const Entry& entry : entries_) {
    all.emplace_back(join(prefix, entry.name), &entry);
  }
  for (const Module* child : children_) {
    for (auto& entry : child->entries(join(prefix, child->name_))) {
      all.push_back(std::move(entry));
    }
  }
  return all;
}

NamedTensors Module::handles(Role role) const {
  NamedTensors tensors;
  std::unordered_set<const TensorImpl*> seen;
  for (const auto& [path, entry] : entries()) {
    if (entry->role == role && seen.insert(entry->tensor->impl().get()).second) {
      tensors.emplace_back(path, *entry->tensor);
    }
  }
  return tensors;
}

std::vector<Tensor> Module::parameters() const {
  return mapped(named_parameters(), &NamedTensors::value_type::second);
}

std::int64_t Module::num_parameters() const {
  std::int64_t count = 0;
  for (const Tensor& tensor : parameters()) {
    count += tensor.numel();
  }
  return count;
}

void Module::zero_grad() {
  for (Tensor& tensor : parameters()) {
    tensor.zero_grad();
  }
}

void Module::set_requires_grad(bool on) {
  for (Tensor& tensor : parameters()) {
    tensor.set_requires_grad(on);
    if (!on) {
      tensor.zero_grad();  // an optimiser steps what has a gradient
    }
  }
}

void Module::initialize(std::uint64_t seed) {
  for (Module* module : modules()) {
    module->reset_parameters(seed);
  }
}

/// Replaces each tensor that `convert` gives something for; all of them or none.
template <class Convert>
void Module::replace_tensors(Convert&& convert) {
  std::vector<std::pair<Tensor*, Tensor>> replaced;
  for (const auto& [path, entry] : entries()) {
    if (Tensor value = convert(entry->tensor->detach()); value.defined()) {
      replaced.emplace_back(entry->tensor, std::move(value));
    }
  }
  for (auto& [tensor, value] : replaced) {
    tensor->set_data(value);
  }
}

void Module::to(Device device) {
  replace_tensors([&](const Tensor& tensor) {
    return tensor.device() == device ? Tensor() : tensor.to(device);
  });
}

void Module::to(DType dtype) {
  if (dtype != DType::float32 && dtype != DType::float64) {
    throw DtypeError(formatted("module: parameters are float32 or float64, got {}", dtype));
  }
  replace_tensors([&](const Tensor& tensor) {
    const bool stays = !is_floating(tensor.dtype()) || tensor.dtype() == dtype;
    return stays ? Tensor() : tensor.to(dtype);
  });
}

}  // namespace cks
