#pragma once
#include <vector>

#include "cks/core/autograd/autograd.h"

namespace cks::ops {

/// The gradient that a node was given and what it adds to it, in order.
inline std::vector<const void*> terms_of(const Tensor& grad, const GradientWork& work) {
  std::vector<const void*> terms{grad.data()};
  for (const Tensor& term : work.terms) {
    terms.push_back(term.data());
  }
  return terms;
}

/// Whether what reads the input may be asked to mask its gradient by it.
inline bool may_mask_by(const Tensor& input) {
  const Node* const maker = input.grad_node().get();
  return input.device().is_cuda() && maker != nullptr && maker->result_slope() != 1.0;
}

/// A result of record(), whose node, if there is one, declares what it can do.
inline const Tensor& declared(const Tensor& recorded, const NodeAbilities& abilities) {
  if (recorded.grad_node() != nullptr) {
    recorded.grad_node()->declare(abilities);
  }
  return recorded;
}

}  // namespace cks::ops
