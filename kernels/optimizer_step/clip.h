#pragma once
#include <cstdint>

/// The last stages of looking at all gradients together; the first are sum_of_squares and
/// all_finite of reduce/reduce.h, one number a tensor.
namespace cks::kernels::cpu {

/// *norm = sqrt(sum of `squares`), *factor = min(1, max_norm / (*norm + 1e-6)): PyTorch's clipping.
/// A NaN reaches both.
void clip_factor(const double* squares, std::int64_t count, double max_norm, double* norm,
                 double* factor);

/// *result = 1 if all flags are set, else 0.
void all_set(const std::uint8_t* flags, std::int64_t count, std::uint8_t* result);

}  // namespace cks::kernels::cpu
