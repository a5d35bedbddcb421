#include "cks/layers/module.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>

#include "cks/core/autograd.h"
#include "cks/core/module_path.h"
#include "cks/core/ops/shape.h"

namespace cks {
namespace {

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

/// A copy as it lies in a file, off the tape.
Tensor to_file(const Tensor& tensor, StateLayout layout) {
  return layout == StateLayout::filter ? permute(tensor.detach(), {0, 3, 1, 2})
                                       : tensor.detach().clone();
}

Tensor from_file(const Tensor& tensor, StateLayout layout) {
  return layout == StateLayout::filter ? permute(tensor.detach(), {0, 2, 3, 1}) : tensor.detach();
}

Shape shape_in_file(const Shape& shape, StateLayout layout) {
  return layout == StateLayout::filter ? Shape{shape[0], shape[3], shape[1], shape[2]} : shape;
}

/// Whether elements of `from` may be written over elements of `to`: floats convert, integers do
/// not.
bool converts(DType from, DType to) { return from == to || (is_floating(from) && is_floating(to)); }

std::string describe(const Shape& shape, DType dtype) {
  return shape.to_string() + " " + name_of(dtype);
}

/// What does not fit, collected so that one message lists it all.
struct Misfits {
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  std::vector<std::string> misshaped;

  bool empty() const { return missing.empty() && unexpected.empty() && misshaped.empty(); }
  std::string to_string() const {
    return list("missing", missing) + list("unexpected", unexpected) +
           list("mis-shaped", misshaped);
  }

 private:
  static std::string list(const char* title, const std::vector<std::string>& keys) {
    std::string text;
    for (const std::string& key : keys) {
      text += text.empty() ? "\n  " + std::string(title) + ": " : ", ";
      text += key;
    }
    return text;
  }
};

}  // namespace

// --- The tree of modules ------------------------------------------------------------------------

Module::Module(Module* parent, std::string name) : parent_(parent), name_(std::move(name)) {
  if (parent_ != nullptr) {
    parent_->register_child(this);
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
  const auto fail = [&](const std::string& why) {
    throw Error("module " + (path().empty() ? type_name() : path()) + ": the name \"" + name +
                "\" " + why);
  };
  if (name.empty()) {
    fail("is empty");
  }
  if (name.find('.') != std::string::npos) {
    fail("has a dot, which separates modules in a path");
  }
  const auto taken_by_child = [&](const Module* child) { return child->name_ == name; };
  const auto taken_by_entry = [&](const Entry& entry) { return entry.name == name; };
  if (std::any_of(children_.begin(), children_.end(), taken_by_child) ||
      std::any_of(entries_.begin(), entries_.end(), taken_by_entry)) {
    fail("is taken");
  }
}

void Module::register_child(Module* child) {
  require_free(child->name_);
  children_.push_back(child);
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
  throw Error("module " + (path().empty() ? type_name() : path()) + " (" + type_name() +
              ") has no forward() of one tensor; call its own member function");
}

Tensor Module::operator()(const Tensor& input) {
  const ModulePathScope scope(path());
  Tensor output = forward(input);
  if (const ForwardHook& hook = hook_of_root()) {
    hook(*this, input, output);
  }
  return output;
}

const Module::ForwardHook& Module::hook_of_root() const {
  return parent_ == nullptr ? hook_ : parent_->hook_of_root();
}

void Module::set_forward_hook(ForwardHook hook) { hook_ = std::move(hook); }

// --- Tensors ------------------------------------------------------------------------------------

void Module::add_entry(std::string name, Tensor& member, Tensor value, StateLayout layout,
                       Role role) {
  require_free(name);
  if (!value.defined()) {
    throw Error("module " + path() + ": the value of \"" + name + "\" is undefined");
  }
  if (layout == StateLayout::filter && value.rank() != 4) {
    throw ShapeError("module " + path() + ": \"" + name + "\" is no filter of rank 4, got " +
                     value.shape().to_string());
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

void Module::collect_entries(const std::string& prefix, PathEntries& out) const {
  for (const Entry& entry : entries_) {
    out.emplace_back(join(prefix, entry.name), &entry);
  }
  for (const Module* child : children_) {
    child->collect_entries(join(prefix, child->name_), out);
  }
}

Module::PathEntries Module::entries() const {
  PathEntries all;
  collect_entries({}, all);
  return all;
}

NamedTensors Module::handles(Role role) const {
  NamedTensors tensors;
  for (const auto& [path, entry] : entries()) {
    if (entry->role == role) {
      tensors.emplace_back(path, *entry->tensor);
    }
  }
  return tensors;
}

NamedTensors Module::named_parameters() const { return handles(Role::parameter); }

NamedTensors Module::named_buffers() const { return handles(Role::buffer); }

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> tensors;
  for (auto& [path, tensor] : named_parameters()) {
    tensors.push_back(tensor);
  }
  return tensors;
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

void Module::reset_parameters(std::uint64_t) {}

void Module::on_state_loaded() {}

void Module::initialize(std::uint64_t seed) {
  for (Module* module : modules()) {
    module->reset_parameters(seed);
  }
}

void Module::to(Device device) {
  std::vector<std::pair<Tensor*, Tensor>> moved;  // all of them before the first is changed
  for (const auto& [path, entry] : entries()) {
    if (!(entry->tensor->device() == device)) {
      moved.emplace_back(entry->tensor, entry->tensor->detach().to(device));
    }
  }
  for (auto& [tensor, value] : moved) {
    tensor->set_data(value);
  }
}

void Module::to(DType dtype) {
  if (dtype != DType::float32 && dtype != DType::float64) {
    throw DtypeError("module: parameters are float32 or float64, got " +
                     std::string(name_of(dtype)));
  }
  std::vector<std::pair<Tensor*, Tensor>> converted;
  for (const auto& [path, entry] : entries()) {
    const DType from = entry->tensor->dtype();
    if (is_floating(from) && from != dtype) {
      converted.emplace_back(entry->tensor, entry->tensor->detach().to(dtype));
    }
  }
  for (auto& [tensor, value] : converted) {
    tensor->set_data(value);
  }
}

// --- State --------------------------------------------------------------------------------------

NamedTensors Module::copies(bool training_only) const {
  NamedTensors state;
  for (const auto& [path, entry] : entries()) {
    if ((entry->role == Role::training_state) == training_only) {
      state.emplace_back(path, to_file(*entry->tensor, entry->layout));
    }
  }
  return state;
}

NamedTensors Module::state_dict() const { return copies(/*training_only=*/false); }

NamedTensors Module::training_state() const { return copies(/*training_only=*/true); }

void Module::load(const char* operation, const NamedTensors& state, bool training_only,
                  bool strict) {
  std::unordered_map<std::string, const Tensor*> given;
  Misfits misfits;
  for (const auto& [key, tensor] : state) {
    if (!given.emplace(key, &tensor).second) {
      misfits.unexpected.push_back(key + " (a second time)");
    }
  }
  std::unordered_set<std::string> wanted;
  std::vector<std::pair<Tensor*, Tensor>> staged;  // nothing is written before all fits
  for (const auto& [path, entry] : entries()) {
    if ((entry->role == Role::training_state) != training_only) {
      continue;
    }
    wanted.insert(path);
    const auto found = given.find(path);
    if (found == given.end()) {
      misfits.missing.push_back(path);
      continue;
    }
    const Tensor& source = *found->second;
    const Tensor& target = *entry->tensor;
    const Shape shape = shape_in_file(target.shape(), entry->layout);
    if (!source.defined()) {
      misfits.misshaped.push_back(path + " (undefined)");
    } else if (!(source.shape() == shape) || !converts(source.dtype(), target.dtype())) {
      misfits.misshaped.push_back(path + " (got " + describe(source.shape(), source.dtype()) +
                                  ", expected " + describe(shape, target.dtype()) + ")");
    } else {
      staged.emplace_back(entry->tensor,
                          from_file(source, entry->layout).to(target.dtype()).to(target.device()));
    }
  }
  for (const auto& [key, tensor] : state) {
    if (!wanted.contains(key)) {
      misfits.unexpected.push_back(key);
    }
  }
  if (!strict) {
    misfits.missing.clear();
    misfits.unexpected.clear();
  }
  if (!misfits.empty()) {
    throw StateDictError(std::string(operation) + ": the tensors do not fit " + type_name() +
                         (path().empty() ? "" : " " + path()) + misfits.to_string());
  }
  const NoGradGuard no_grad;
  for (auto& [target, source] : staged) {
    target->copy_(source);
  }
}

void Module::load_state_dict(const NamedTensors& state, bool strict) {
  load("load_state_dict", state, /*training_only=*/false, strict);
}

void Module::load_training_state(const NamedTensors& state) {
  load("load_training_state", state, /*training_only=*/true, /*strict=*/true);
  for (Module* module : modules()) {
    module->on_state_loaded();
  }
}

void copy_module_state(const Module& source, Module& target) {
  const Module::PathEntries from = source.entries();
  const Module::PathEntries to = target.entries();
  Misfits misfits;
  std::unordered_map<std::string, const Module::Entry*> targets(to.begin(), to.end());
  for (const auto& [path, entry] : from) {
    const auto found = targets.find(path);
    if (found == targets.end()) {
      misfits.unexpected.push_back(path);
      continue;
    }
    const Shape& expected = found->second->tensor->shape();
    if (!(entry->tensor->shape() == expected)) {
      misfits.misshaped.push_back(path + " (got " + entry->tensor->shape().to_string() +
                                  ", expected " + expected.to_string() + ")");
    }
    targets.erase(found);
  }
  for (const auto& [path, entry] : targets) {
    misfits.missing.push_back(path);
  }
  std::sort(misfits.missing.begin(), misfits.missing.end());
  if (!misfits.empty()) {
    throw StateDictError("copy_module_state: " + source.type_name() + " does not fit " +
                         target.type_name() + misfits.to_string());
  }
  std::vector<Tensor> values;
  for (const auto& [path, entry] : from) {
    values.push_back(entry->tensor->detach().clone());
  }
  targets = {to.begin(), to.end()};
  for (std::size_t i = 0; i < from.size(); ++i) {
    Tensor& tensor = *targets.at(from[i].first)->tensor;
    tensor.set_data(values[i]);
    if (const bool wanted = from[i].second->tensor->requires_grad();
        wanted != tensor.requires_grad()) {
      tensor.set_requires_grad(wanted);
    }
  }
  target.copy_modes(source);
  for (Module* module : target.modules()) {
    module->on_state_loaded();
  }
}

void Module::copy_modes(const Module& source) {
  training_ = source.training_;
  for (std::size_t i = 0; i < children_.size() && i < source.children_.size(); ++i) {
    children_[i]->copy_modes(*source.children_[i]);
  }
}

}  // namespace cks
