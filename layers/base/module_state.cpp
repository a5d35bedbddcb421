#include <algorithm>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
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
    return keys.empty() ? "" : formatted("\n  {}: {}", title, list_text(keys));
  }
};

/// Pairs each wanted entry with the tensor that is given under its path, and collects what is in
/// one alone or given twice, and where `misfit(entry, tensor)` says why they do not fit.
template <class Entry, class Misfit>
std::vector<std::pair<const Entry*, Tensor>> match(
    const std::vector<std::pair<std::string, const Entry*>>& wanted, const NamedTensors& given,
    Misfits& misfits, Misfit&& misfit) {
  std::unordered_map<std::string, const Tensor*> tensors;
  for (const auto& [path, tensor] : given) {
    if (!tensors.emplace(path, &tensor).second) {
      misfits.unexpected.push_back(path + " (a second time)");
    }
  }
  std::vector<std::pair<const Entry*, Tensor>> matches;
  std::unordered_set<std::string> known;
  for (const auto& [path, entry] : wanted) {
    known.insert(path);
    const auto found = tensors.find(path);
    if (found == tensors.end()) {
      misfits.missing.push_back(path);
    } else if (const std::string why = misfit(*entry, *found->second); !why.empty()) {
      misfits.misshaped.push_back(formatted("{} ({})", path, why));
    } else {
      matches.emplace_back(entry, *found->second);
    }
  }
  for (const auto& [path, tensor] : given) {
    if (!known.contains(path)) {
      misfits.unexpected.push_back(path);
    }
  }
  return matches;
}

/// make_another() is inherited: that of a base class would leave out what the derived one does, in
/// a child as well.
void require_same_classes(const Module& source, const Module& copy) {
  if (typeid(source) != typeid(copy)) {
    const std::string path = source.path();
    throw Error(formatted(
        "clone: {}{}{} inherits the make_another() of {}: derive it from Layer<{}>, or "
        "override make_another()",
        source.type_name(), path.empty() ? "" : " ", path, copy.type_name(), source.type_name()));
  }
  for (std::size_t i = 0; i < source.children().size() && i < copy.children().size(); ++i) {
    require_same_classes(*source.children()[i], *copy.children()[i]);
  }
}

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

std::vector<std::string> Module::state_keys() const {
  std::vector<std::string> keys;
  for (const auto& [path, entry] : entries()) {
    if (entry->role != Role::training_state) {
      keys.push_back(path);
    }
  }
  return keys;
}

void Module::load(const char* operation, const NamedTensors& state, bool training_only,
                  bool strict) {
  PathEntries wanted = entries();
  const std::unordered_map<std::string, Tensor> paths(state.begin(), state.end());
  std::unordered_set<const TensorImpl*> given;
  for (const auto& [path, entry] : wanted) {
    if (paths.contains(path)) {
      given.insert(entry->tensor->impl().get());
    }
  }
  std::erase_if(wanted, [&](const auto& item) {
    const auto& [path, entry] = item;
    const bool is_given_elsewhere =
        !paths.contains(path) && given.contains(entry->tensor->impl().get());
    return (entry->role == Role::training_state) != training_only || is_given_elsewhere;
  });
  Misfits misfits;
  const auto matches = match(wanted, state, misfits, [](const Entry& entry, const Tensor& source) {
    const Shape shape = shape_in_file(entry.tensor->shape(), entry.layout);
    const DType dtype = entry.tensor->dtype();
    if (!source.defined()) {
      return std::string("undefined");
    }
    return source.shape() == shape && converts(source.dtype(), dtype)
               ? std::string()
               : formatted("got {}, expected {}", describe(source.shape(), source.dtype()),
                           describe(shape, dtype));
  });
  if (!strict) {
    misfits.missing.clear();
    misfits.unexpected.clear();
  }
  if (!misfits.empty()) {
    throw StateDictError(formatted("{}: the tensors do not fit {}{}{}{}", operation, type_name(),
                                   path().empty() ? "" : " ", path(), misfits));
  }
  // Nothing is written before all are there.
  const auto values = mapped(matches, [](const auto& match) {
    const auto& [entry, source] = match;
    return from_file(source, entry->layout).to(entry->tensor->dtype()).to(entry->tensor->device());
  });
  const NoGradGuard no_grad;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    matches[i].first->tensor->copy_(values[i]);
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
  NamedTensors given;
  for (const auto& [path, entry] : source.entries()) {
    given.emplace_back(path, *entry->tensor);
  }
  Misfits misfits;
  const auto matches =
      match(target.entries(), given, misfits, [](const Module::Entry& entry, const Tensor& tensor) {
        const Shape& expected = entry.tensor->shape();
        return tensor.shape() == expected
                   ? std::string()
                   : formatted("got {}, expected {}", tensor.shape(), expected);
      });
  std::sort(misfits.missing.begin(), misfits.missing.end());
  if (!misfits.empty()) {
    throw StateDictError(formatted("copy_module_state: {} does not fit {}{}", source.type_name(),
                                   target.type_name(), misfits));
  }
  const auto values =
      mapped(matches, [](const auto& match) { return match.second.detach().clone(); });
  // Each tensor of the source has one of the target, whatever the target shared before.
  std::unordered_map<const TensorImpl*, Tensor> copies;
  std::unordered_set<const TensorImpl*> taken;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    const auto& [entry, tensor] = matches[i];
    if (const auto copy = copies.find(tensor.impl().get()); copy != copies.end()) {
      *entry->tensor = copy->second;
      continue;
    }
    if (taken.insert(entry->tensor->impl().get()).second) {
      entry->tensor->set_data(values[i]);
    } else {
      *entry->tensor = values[i];
    }
    copies.emplace(tensor.impl().get(), *entry->tensor);
    if (entry->tensor->requires_grad() != tensor.requires_grad()) {
      entry->tensor->set_requires_grad(tensor.requires_grad());
    }
  }
  target.copy_modes(source);
  for (Module* module : target.modules()) {
    module->on_state_loaded();
  }
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): those that override it move the name
std::unique_ptr<Module> Module::make_another(Module*, std::string) const {
  throw Error(
      formatted("clone: {0} does not say how to make another: derive it from Layer<{0}>, or "
                "override make_another()",
                type_name()));
}

std::unique_ptr<Module> Module::clone() const {
  std::unique_ptr<Module> copy = make_another(nullptr, {});
  require_same_classes(*this, *copy);
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
