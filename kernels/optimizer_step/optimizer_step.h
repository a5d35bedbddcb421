#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"

/// One update of one parameter, in PyTorch's formulas and order of operations. Parameter, gradient
/// and state are dense arrays of `count` elements of one dtype, float32 or float64. What changes
/// from step to step is read from memory when the step runs, so that a recorded step repeats.
namespace cks::kernels {

struct StepProblem {
  DType dtype;
  std::int64_t count;
  const double* learning_rate;         // one number
  double learning_rate_scale = 1.0;    // of the parameter's group
  const double* grad_scale = nullptr;  // one number, by which the gradient is multiplied; null: 1
};

struct SgdStepOptions {
  double momentum = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
};

struct AdamStepOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled = false;  // AdamW's weight decay, which bypasses the moments
};

namespace cpu {

/// g = grad + weight_decay * p;  b = momentum * b + g;  g = nesterov ? g + momentum * b : b;
/// p = p - lr * g. The buffer b starts as zeros and may be null without momentum.
void sgd_step(const StepProblem& problem, const SgdStepOptions& options, const void* grad,
              void* parameter, void* momentum_buffer);

/// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
/// p = p - lr/(1 - beta1^t) * m / (sqrt(v)/sqrt(1 - beta2^t) + eps), with t = *step >= 1.
/// Before: g = grad + weight_decay * p, or if decoupled p = p * (1 - lr * weight_decay).
void adam_step(const StepProblem& problem, const AdamStepOptions& options, const std::int64_t* step,
               const void* grad, void* parameter, void* m, void* v);

}  // namespace cpu
}  // namespace cks::kernels
