#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/datasets/data_loader.h"
#include "cks/layers/module.h"

/// Looking for the first bad number of a step that must not be taken.
namespace cks::detail {

struct StepFacts {
  std::int64_t step = 0;  // from 1
  double learning_rate = 0.0;
  double loss = 0.0;
  double gradient_norm = -1.0;  // of this step, or of the one before if its loss is bad; -1: none
};

/// Message for a loss that is not finite. Runs the forward pass of each piece of the batch again,
/// without the tape, to find the first module whose output is bad.
std::string describe_bad_loss(const StepFacts& facts, Module& model,
                              const std::vector<Batch>& pieces);

/// Message for a gradient norm that is not finite: the first parameter that backward made bad,
/// which is the last one in the order of the forward pass.
std::string describe_bad_gradient(const StepFacts& facts, Module& model);

/// Message for a loss of the test images that is not finite after a step, likewise.
std::string describe_bad_test_loss(std::int64_t step, std::int64_t epoch, double loss,
                                   Module& model, DataLoader& test_loader);

/// Throws NonFiniteError, naming the first bad parameter or buffer, if there is one.
void require_finite(const Module& model, std::int64_t step);

}  // namespace cks::detail
