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

}  // namespace

void sgd_step(const StepProblem& problem, const SgdStepOptions& options, const void* grad,
              void* parameter, void* momentum_buffer) {
  visit_real("sgd", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto rate = static_cast<T>(*problem.learning_rate * problem.learning_rate_scale);
    const T scale = grad_scale_of<T>(problem);
    const auto decay = static_cast<T>(options.weight_decay);
    const auto momentum = static_cast<T>(options.momentum);
    const auto* gradients = static_cast<const T*>(grad);
    auto* parameters = static_cast<T*>(parameter);
    auto* buffer = static_cast<T*>(momentum_buffer);
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T g = gradients[i] * scale;
        if (decay != T{0}) {
          g += decay * parameters[i];
        }
        if (momentum != T{0}) {
          buffer[i] = momentum * buffer[i] + g;
          g = options.nesterov ? g + momentum * buffer[i] : buffer[i];
        }
        parameters[i] -= rate * g;
      }
    });
  });
}

void adam_step(const StepProblem& problem, const AdamStepOptions& options, const std::int64_t* step,
               const void* grad, void* parameter, void* m, void* v) {
  visit_real("adam", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const double learning_rate = *problem.learning_rate * problem.learning_rate_scale;
    const auto t = static_cast<double>(*step);
    const auto rate = static_cast<T>(learning_rate / (1.0 - std::pow(options.beta1, t)));
    const auto root_correction = static_cast<T>(std::sqrt(1.0 - std::pow(options.beta2, t)));
    const T scale = grad_scale_of<T>(problem);
    const auto beta1 = static_cast<T>(options.beta1);
    const auto beta2 = static_cast<T>(options.beta2);
    const auto one_minus_beta1 = static_cast<T>(1.0 - options.beta1);
    const auto one_minus_beta2 = static_cast<T>(1.0 - options.beta2);
    const auto eps = static_cast<T>(options.eps);
    const auto coupled_decay = static_cast<T>(options.decoupled ? 0.0 : options.weight_decay);
    const auto shrink =
        static_cast<T>(options.decoupled ? 1.0 - learning_rate * options.weight_decay : 1.0);
    const auto* gradients = static_cast<const T*>(grad);
    auto* parameters = static_cast<T*>(parameter);
    auto* first = static_cast<T*>(m);
    auto* second = static_cast<T*>(v);
    parallel_for_ranges(problem.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T g = gradients[i] * scale;
        if (coupled_decay != T{0}) {
          g += coupled_decay * parameters[i];
        }
        first[i] = first[i] * beta1 + one_minus_beta1 * g;
        second[i] = second[i] * beta2 + one_minus_beta2 * g * g;
        const T denominator = std::sqrt(second[i]) / root_correction + eps;
        parameters[i] = parameters[i] * shrink - rate * first[i] / denominator;
      }
    });
  });
}

}  // namespace cks::kernels::cpu
