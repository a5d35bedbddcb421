#pragma once
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/activation.h"

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

/// The gradient of what an activation at the end of an operation takes. result: the operation's, as
/// it was saved, which is checked also where others have masked by it.
inline Tensor before_activation(const char* operation, const Tensor& grad, const GradientWork& work,
                                const Tensor& result, double slope) {
  return slope == 1.0 || work.is_masked ? grad : masked_gradient(operation, grad, result, slope);
}

/// A result of record(), whose node, if there is one, declares what it can do.
inline const Tensor& declared(const Tensor& recorded, const NodeAbilities& abilities) {
  if (recorded.grad_node() != nullptr) {
    recorded.grad_node()->declare(abilities);
  }
  return recorded;
}

}  // namespace cks::ops
