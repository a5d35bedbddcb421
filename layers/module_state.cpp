#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/shape.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/module.h"

// A module's state as PyTorch's state_dict has it, and copies of whole modules.

namespace cks {
namespace {

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
      misfits.misshaped.push_back(formatted("{} (got {}, expected {})", path,
                                            describe(source.shape(), source.dtype()),
                                            describe(shape, target.dtype())));
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
    throw StateDictError(formatted("{}: the tensors do not fit {}{}{}{}", operation, type_name(),
                                   path().empty() ? "" : " ", path(), misfits.to_string()));
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
      misfits.misshaped.push_back(formatted("{} (got {}, expected {})", path,
                                            entry->tensor->shape().to_string(),
                                            expected.to_string()));
    }
    targets.erase(found);
  }
  for (const auto& [path, entry] : targets) {
    misfits.missing.push_back(path);
  }
  std::sort(misfits.missing.begin(), misfits.missing.end());
  if (!misfits.empty()) {
    throw StateDictError(formatted("copy_module_state: {} does not fit {}{}", source.type_name(),
                                   target.type_name(), misfits.to_string()));
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

std::unique_ptr<Module> Module::make_another(Module*, std::string) const {
  throw Error(
      formatted("clone: {0} does not say how to make another: derive it from Layer<{0}>, or "
                "override make_another()",
                type_name()));
}

std::unique_ptr<Module> Module::clone() const {
  std::unique_ptr<Module> copy = make_another(nullptr, {});
  if (copy->type_name() != type_name()) {
    throw Error(
        formatted("clone: {} inherits the make_another() of {}: derive it from Layer<{}>, or "
                  "override make_another()",
                  type_name(), copy->type_name(), type_name()));
  }
  copy_module_state(*this, *copy);
  return copy;
}

void Module::copy_modes(const Module& source) {
  training_ = source.training_;
  for (std::size_t i = 0; i < children_.size() && i < source.children_.size(); ++i) {
    children_[i]->copy_modes(*source.children_[i]);
  }
}

}  // namespace cks
