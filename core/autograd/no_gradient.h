#pragma once
#include <initializer_list>
#include <string>
#include <utility>

#include "cks/core/autograd/autograd.h"

namespace cks {

/// For an operation that has no gradient, at the end of its forward function: `result`, through
/// which backward() throws AutogradError, naming the operation, where an input requires a gradient.
/// Without it the tape would end there, and parameters before it would silently learn nothing.
/// Whoever wants that says so with input.detach() or NoGradGuard.
///
///   return record_no_gradient("round_to_grid", result, {input});
///
/// `name` outlives the node.
inline Tensor record_no_gradient(const char* name, Tensor result,
                                 std::initializer_list<Tensor> inputs) {
  return record(name, std::move(result), inputs,
                [name](const Tensor&, const std::vector<bool>&) -> std::vector<Tensor> {
                  throw AutogradError(std::string(name) +
                                      ": has no gradient; detach() its inputs, or call it under "
                                      "NoGradGuard, where none shall pass");
                });
}

}  // namespace cks
