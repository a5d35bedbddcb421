#include <map>

#include "cks/core/error.h"
#include "cks/core/optim/named_state_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

/// Lists what keeps `given` from being loaded into `wanted`; empty if nothing does.
std::string mismatches(const NamedTensors& wanted, const NamedTensors& given) {
  std::map<std::string, const Tensor*> by_key;
  std::string text;
  for (const auto& [key, tensor] : given) {
    if (!by_key.emplace(key, &tensor).second) {
      text += "\n  twice: " + key;
    }
  }
  for (const auto& [key, tensor] : wanted) {
    const auto found = by_key.find(key);
    if (found == by_key.end()) {
      text += "\n  missing: " + key + " " + tensor.shape().to_string();
      continue;
    }
    const Tensor& other = *found->second;
    if (!other.defined()) {
      text += "\n  undefined: " + key;
    } else if (!(other.shape() == tensor.shape()) || other.dtype() != tensor.dtype()) {
      text += formatted("\n  mis-shaped: {} is {} {}, expected {} {}", key, other.shape(),
                        other.dtype(), tensor.shape(), tensor.dtype());
    }
    by_key.erase(found);
  }
  for (const auto& [key, tensor] : by_key) {
    text += "\n  unexpected: " + key;
  }
  return text;
}

}  // namespace

void optim::require_named(const char* who, const char* of, const NamedTensors& targets,
                          const NamedTensors& state) {
  if (const std::string problems = mismatches(targets, state); !problems.empty()) {
    throw Error(formatted("{}: the state does not fit the {}:{}", who, of, problems));
  }
  for (const auto& [key, tensor] : state) {
    if (tensor.dtype() == DType::int64 && tensor.item() < 0.0) {
      throw Error(formatted("{}: the state's {} is negative", who, key));
    }
  }
}

void optim::load_named(const NamedTensors& targets, const NamedTensors& state) {
  const std::map<std::string, Tensor> by_key(state.begin(), state.end());
  for (const auto& [key, target] : targets) {
    Tensor(target).copy_(by_key.at(key).detach());
  }
}

NamedTensors optim::clones(NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.detach().clone();
  }
  return tensors;
}

}  // namespace cks
