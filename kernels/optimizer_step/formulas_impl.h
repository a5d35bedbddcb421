#pragma once
#include <cmath>
#include <cstdint>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

/// The formulas of the optimisers, for one element, and the scalars that they take: the one copy
/// for the CPU and the GPU. Scalars go to loops by value: read through a reference they might be
/// among the elements that the loop writes, and the compiler would not vectorise it.
namespace cks::kernels {

/// What a step reads from memory.
struct StepNumbers {
  double learning_rate;  // of the parameter
  double grad_scale;
};

template <class T>
struct SgdScalars {
  T rate, grad_scale, weight_decay, momentum;
  bool nesterov;
};

template <class T>
CKS_HOST_DEVICE inline SgdScalars<T> sgd_scalars(const SgdStepOptions& options, double weight_decay,
                                                 const StepNumbers& now) {
  const double momentum =
      options.momentum_now == nullptr ? options.momentum : *options.momentum_now;
  return {static_cast<T>(now.learning_rate), static_cast<T>(now.grad_scale),
          static_cast<T>(weight_decay), static_cast<T>(momentum), options.nesterov};
}

/// `buffer` is left alone without momentum.
template <class T>
CKS_HOST_DEVICE inline void sgd_element(const SgdScalars<T>& s, T gradient, T& parameter,
                                        T& buffer) {
  T g = gradient * s.grad_scale;
  if (s.weight_decay != T{0}) {
    g += s.weight_decay * parameter;
  }
  if (s.momentum != T{0}) {
    const T b = s.momentum * buffer + g;
    buffer = b;
    g = s.nesterov ? g + s.momentum * b : b;
  }
  parameter -= s.rate * g;
}

template <class T>
struct AdamScalars {
  T rate;             // corrected for the first moment's start at 0
  T root_correction;  // of the second moment's
  T grad_scale, beta1, beta2, one_minus_beta1, one_minus_beta2, eps;
  T weight_decay;  // through the gradient
  T shrink;        // of the parameter: decoupled weight decay
};

template <class T>
CKS_HOST_DEVICE inline AdamScalars<T> adam_scalars(const AdamStepOptions& options,
                                                   double weight_decay, const StepNumbers& now,
                                                   std::int64_t step) {
  const auto t = static_cast<double>(step);
  const double shrink = options.decoupled ? 1.0 - now.learning_rate * weight_decay : 1.0;
  return {static_cast<T>(now.learning_rate / (1.0 - std::pow(options.beta1, t))),
          static_cast<T>(std::sqrt(1.0 - std::pow(options.beta2, t))),
          static_cast<T>(now.grad_scale),
          static_cast<T>(options.beta1),
          static_cast<T>(options.beta2),
          static_cast<T>(1.0 - options.beta1),
          static_cast<T>(1.0 - options.beta2),
          static_cast<T>(options.eps),
          static_cast<T>(options.decoupled ? 0.0 : weight_decay),
          static_cast<T>(shrink)};
}

template <class T>
CKS_HOST_DEVICE inline void adam_element(const AdamScalars<T>& s, T gradient, T& parameter,
                                         T& first, T& second) {
  T g = gradient * s.grad_scale;
  if (s.weight_decay != T{0}) {
    g += s.weight_decay * parameter;
  }
  const T m = first * s.beta1 + s.one_minus_beta1 * g;
  const T v = second * s.beta2 + s.one_minus_beta2 * g * g;
  first = m;
  second = v;
  const T denominator = std::sqrt(v) / s.root_correction + s.eps;
  parameter = parameter * s.shrink - s.rate * m / denominator;
}

}  // namespace cks::kernels
