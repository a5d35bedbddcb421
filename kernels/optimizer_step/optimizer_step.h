#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// One update of all parameters, in PyTorch's formulas and order of operations. What changes from
/// step to step is read from memory when the step runs, so that a recorded step repeats. On a GPU
/// one launch updates up to 48 parameters of a dtype.
namespace cks::kernels {

/// One parameter: dense arrays of `count` elements of one dtype, float32 or float64.
struct StepTensor {
  DType dtype;
  std::int64_t count;
  const void* grad;
  void* parameter;
  void* first = nullptr;               // SGD's momentum buffer, Adam's m
  void* second = nullptr;              // Adam's v
  const std::int64_t* step = nullptr;  // Adam's t, one number
  double learning_rate_scale = 1.0;    // of the parameter's group
  double weight_decay = 0.0;
};

struct StepProblem {
  const StepTensor* tensors;  // in host memory; read before the call returns
  std::int64_t count;
  const double* learning_rate;         // one number
  const double* grad_scale = nullptr;  // one number, by which gradients are multiplied; null: 1
  const std::uint8_t* skip = nullptr;  // one number; where it is not 0, nothing is written
};

struct SgdStepOptions {
  double momentum = 0.0;
  bool nesterov = false;
  const double* momentum_now = nullptr;  // one number that is read in its place; null: none
};

struct AdamStepOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  bool decoupled = false;  // AdamW's weight decay, which bypasses the moments
};

/// g = grad + weight_decay * p;  b = momentum * b + g;  g = nesterov ? g + momentum * b : b;
/// p = p - lr * g. The buffer b starts as zeros and may be null without momentum.
CKS_ENTRY_POINT(void, sgd_step, (const StepProblem& problem, const SgdStepOptions& options));

/// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
/// p = p - lr/(1 - beta1^t) * m / (sqrt(v)/sqrt(1 - beta2^t) + eps), with t = *step >= 1.
/// Before: g = grad + weight_decay * p, or if decoupled p = p * (1 - lr * weight_decay).
CKS_ENTRY_POINT(void, adam_step, (const StepProblem& problem, const AdamStepOptions& options));

}  // namespace cks::kernels
