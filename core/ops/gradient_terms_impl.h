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

}  // namespace cks::ops
