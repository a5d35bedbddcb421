#include <cmath>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

namespace cks::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;

template <class T>
T grad_scale_of(const StepProblem& problem) {
  return problem.grad_scale == nullptr ? T{1} : static_cast<T>(*problem.grad_scale);
}

// The scalars of a step go to the loops by value: read through a reference they might be among the
// elements that the loop writes, and the compiler would not vectorise it.

template <class T>
struct SgdScalars {
  T rate, grad_scale, weight_decay, momentum;
  bool nesterov;
};

template <class T>
void sgd_elements(const SgdScalars<T> s, std::int64_t count, const T* gradients, T* parameters,
                  T* buffer) {
  for (std::int64_t i = 0; i < count; ++i) {
    T g = gradients[i] * s.grad_scale;
    if (s.weight_decay != T{0}) {
      g += s.weight_decay * parameters[i];
    }
    if (s.momentum != T{0}) {
      const T b = s.momentum * buffer[i] + g;
      buffer[i] = b;
      g = s.nesterov ? g + s.momentum * b : b;
    }
    parameters[i] -= s.rate * g;
  }
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
void adam_elements(const AdamScalars<T> s, std::int64_t count, const T* gradients, T* parameters,
                   T* first, T* second) {
  for (std::int64_t i = 0; i < count; ++i) {
    T g = gradients[i] * s.grad_scale;
    if (s.weight_decay != T{0}) {
      g += s.weight_decay * parameters[i];
    }
    const T m = first[i] * s.beta1 + s.one_minus_beta1 * g;
    const T v = second[i] * s.beta2 + s.one_minus_beta2 * g * g;
    first[i] = m;
    second[i] = v;
    const T denominator = std::sqrt(v) / s.root_correction + s.eps;
    parameters[i] = parameters[i] * s.shrink - s.rate * m / denominator;
  }
}

}  // namespace

void sgd_step(const StepProblem& problem, const SgdStepOptions& options, const void* grad,
              void* parameter, void* momentum_buffer) {
  visit_real("sgd", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const SgdScalars<T> scalars{
        .rate = static_cast<T>(*problem.learning_rate * problem.learning_rate_scale),
        .grad_scale = grad_scale_of<T>(problem),
        .weight_decay = static_cast<T>(options.weight_decay),
        .momentum = static_cast<T>(options.momentum),
        .nesterov = options.nesterov};
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      T* buffer = momentum_buffer == nullptr ? nullptr : static_cast<T*>(momentum_buffer) + begin;
      sgd_elements(scalars, end - begin, static_cast<const T*>(grad) + begin,
                   static_cast<T*>(parameter) + begin, buffer);
    });
  });
}

void adam_step(const StepProblem& problem, const AdamStepOptions& options, const std::int64_t* step,
               const void* grad, void* parameter, void* m, void* v) {
  visit_real("adam", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const double learning_rate = *problem.learning_rate * problem.learning_rate_scale;
    const auto t = static_cast<double>(*step);
    const double shrink = options.decoupled ? 1.0 - learning_rate * options.weight_decay : 1.0;
    const AdamScalars<T> scalars{
        .rate = static_cast<T>(learning_rate / (1.0 - std::pow(options.beta1, t))),
        .root_correction = static_cast<T>(std::sqrt(1.0 - std::pow(options.beta2, t))),
        .grad_scale = grad_scale_of<T>(problem),
        .beta1 = static_cast<T>(options.beta1),
        .beta2 = static_cast<T>(options.beta2),
        .one_minus_beta1 = static_cast<T>(1.0 - options.beta1),
        .one_minus_beta2 = static_cast<T>(1.0 - options.beta2),
        .eps = static_cast<T>(options.eps),
        .weight_decay = static_cast<T>(options.decoupled ? 0.0 : options.weight_decay),
        .shrink = static_cast<T>(shrink)};
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      adam_elements(scalars, end - begin, static_cast<const T*>(grad) + begin,
                    static_cast<T*>(parameter) + begin, static_cast<T*>(m) + begin,
                    static_cast<T*>(v) + begin);
    });
  });
}

}  // namespace cks::kernels::cpu
