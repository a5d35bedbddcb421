#include "cks/layers/concat.h"

#include "cks/core/ops/rearrange.h"

namespace cks {

Sequential& Concat::add_branch(std::string name) {
  if (name.empty()) {
    name = std::to_string(branches_.size());
  }
  branches_.push_back(std::make_unique<Sequential>(this, std::move(name)));
  return *branches_.back();
}

std::unique_ptr<Module> Concat::make_another(Module* parent, std::string name) const {
  auto another = std::make_unique<Concat>(parent, std::move(name));
  for (const auto& branch : branches_) {
    branch->add_others_to(another->add_branch(branch->name()));
  }
  return another;
}

Tensor Concat::forward(const Tensor& input) {
  if (branches_.empty()) {
    throw Error("Concat: has no branch (call add_branch() first)");
  }
  std::vector<Tensor> outputs;
  outputs.reserve(branches_.size());
  for (const auto& branch : branches_) {
    outputs.push_back((*branch)(input));
  }
  return concat(outputs, -1);
}

}  // namespace cks
