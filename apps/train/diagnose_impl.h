#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/layers/module.h"

/// Looking for the first bad number of a step that must not be taken.
namespace cks::detail {

struct StepFacts {
  std::int64_t step = 0;  // from 1
  double learning_rate = 0.0;
  double loss = 0.0;
};

/// Message for a loss that is not finite. Runs the forward pass again, without the tape, to find
/// the first module whose output is bad; the gradient norm is that of the step before.
std::string describe_bad_loss(const StepFacts& facts, Module& model, const Tensor& images,
                              const std::vector<Tensor>& parameters);

/// Message for a gradient norm that is not finite: the first parameter that backward made bad,
/// which is the last one in the order of the forward pass.
std::string describe_bad_gradient(const StepFacts& facts, Module& model, double norm);

/// Throws NonFiniteError, naming the first bad parameter or buffer, if there is one.
void require_finite(const Module& model, std::int64_t step);

}  // namespace cks::detail
