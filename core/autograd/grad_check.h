#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

struct GradCheckOptions {
  double step = 1e-5;       // distance of the two function values, halved, from each element
  double tolerance = 1e-6;  // greatest relative error that passes
  /// Errors are relative to the largest gradient of an input's elements, but at least to this: the
  /// differences of a gradient that is zero are not.
  double floor = 1e-3;
  std::uint64_t seed = 0;  // of the random projection
};

/// What grad_check found. The worst element is the one with the largest relative error.
struct GradCheckReport {
  bool ok = false;
  double max_relative_error = 0.0;
  std::vector<double> relative_errors;  // of each input
  std::size_t worst_input = 0;
  std::int64_t worst_element = -1;  // flat index, -1 if no input has elements
  double analytic = 0.0;            // the tape's derivative for it
  double numeric = 0.0;             // the difference quotient
  std::string message;              // one line for people

  explicit operator bool() const { return ok; }
};

using GradCheckFunction = std::function<Tensor(const std::vector<Tensor>&)>;

/// Compares the tape's gradients of a function with central differences
///
///   (f(x + step) - f(x - step)) / (2 * step),   f = sum of result * projection,
///
/// where the projection is a fixed random tensor, so that a result of any shape is checked at once.
/// Other inputs (labels, indices) the function keeps itself. Near a kink (relu at 0) differences
/// say nothing: choose elements further than `step` away from it.
///
/// Dtype   float64, inputs and result; throws DtypeError otherwise.
/// Throws  Error if the function gives other bits when called again; whatever the function throws.
GradCheckReport grad_check(const GradCheckFunction& function, const std::vector<Tensor>& inputs,
                           const GradCheckOptions& options = {});

}  // namespace cks
