#pragma once
#include <cstdint>

#include "cks/kernels/common/host_device.h"

/// The last stages of looking at all gradients together; the first are sum_of_squares and
/// all_finite of reduce/reduce.h, one number a tensor.
namespace cks::kernels {

/// min(1, max_norm / (norm + 1e-6)): PyTorch's clipping. A NaN stays one.
CKS_HOST_DEVICE inline double clip_ratio(double norm, double max_norm) {
  const double ratio = max_norm / (norm + 1e-6);
  return ratio > 1.0 ? 1.0 : ratio;
}

namespace cpu {

/// *norm = sqrt(sum of `squares`), *factor = clip_ratio(*norm, max_norm).
void clip_factor(const double* squares, std::int64_t count, double max_norm, double* norm,
                 double* factor);

/// *result = 1 if all flags are set, else 0.
void all_set(const std::uint8_t* flags, std::int64_t count, std::uint8_t* result);

}  // namespace cpu

/// As cpu::, on device memory, queued on current_stream().
namespace cuda {

void clip_factor(const double* squares, std::int64_t count, double max_norm, double* norm,
                 double* factor);
void all_set(const std::uint8_t* flags, std::int64_t count, std::uint8_t* result);

}  // namespace cuda
}  // namespace cks::kernels
