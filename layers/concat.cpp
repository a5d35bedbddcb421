#include "cks/layers/concat.h"

#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/lists_impl.h"

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
  return concat(mapped(branches_, [&](const auto& branch) { return (*branch)(input); }), -1);
}

}  // namespace cks
