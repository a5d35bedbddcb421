#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/optimizer_step/formulas_impl.h"
#include "cks/kernels/optimizer_step/optimizer_step.h"

namespace cks::kernels::CKS_CPU {
namespace {

constexpr std::int64_t kGrain = 16384;

template <class T>
void sgd_elements(const SgdScalars<T> s, std::int64_t count, const T* gradients, T* parameters,
                  T* buffer) {
  if (buffer == nullptr) {
    T none{0};
    for (std::int64_t i = 0; i < count; ++i) {
      sgd_element(s, gradients[i], parameters[i], none);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      sgd_element(s, gradients[i], parameters[i], buffer[i]);
    }
  }
}

template <class T>
void adam_elements(const AdamScalars<T> s, std::int64_t count, const T* gradients, T* parameters,
                   T* first, T* second) {
  for (std::int64_t i = 0; i < count; ++i) {
    adam_element(s, gradients[i], parameters[i], first[i], second[i]);
  }
}

/// Calls body(tensor, numbers, T{}) for each parameter, T being the type of its elements.
template <class Body>
void for_tensors(const char* operation, const StepProblem& problem, Body&& body) {
  if (problem.skip != nullptr && *problem.skip != 0) {
    return;
  }
  for (std::int64_t i = 0; i < problem.count; ++i) {
    const StepTensor& tensor = problem.tensors[i];
    const StepNumbers numbers{*problem.learning_rate * tensor.learning_rate_scale,
                              problem.grad_scale == nullptr ? 1.0 : *problem.grad_scale};
    visit_real(operation, tensor.dtype, [&](auto zero) { body(tensor, numbers, zero); });
  }
}

}  // namespace

void sgd_step(const StepProblem& problem, const SgdStepOptions& options) {
  for_tensors("sgd", problem, [&](const StepTensor& t, const StepNumbers& numbers, auto zero) {
    using T = decltype(zero);
    const SgdScalars<T> scalars = sgd_scalars<T>(options, t.weight_decay, numbers);
    parallel_for_ranges(t.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      T* buffer = t.first == nullptr ? nullptr : static_cast<T*>(t.first) + begin;
      sgd_elements(scalars, end - begin, static_cast<const T*>(t.grad) + begin,
                   static_cast<T*>(t.parameter) + begin, buffer);
    });
  });
}

void adam_step(const StepProblem& problem, const AdamStepOptions& options) {
  for_tensors("adam", problem, [&](const StepTensor& t, const StepNumbers& numbers, auto zero) {
    using T = decltype(zero);
    const AdamScalars<T> scalars = adam_scalars<T>(options, t.weight_decay, numbers, *t.step);
    parallel_for_ranges(t.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      adam_elements(scalars, end - begin, static_cast<const T*>(t.grad) + begin,
                    static_cast<T*>(t.parameter) + begin, static_cast<T*>(t.first) + begin,
                    static_cast<T*>(t.second) + begin);
    });
  });
}

}  // namespace cks::kernels::CKS_CPU
