#pragma once
#include <cstdint>

#include "cks/kernels/halves/halves.h"

/// What sums of products become where they are stored.
namespace cks::kernels {

/// 2^exponent; of an exponent in [-126, 127].
__device__ __forceinline__ float power_of_two(int exponent) {
  return __uint_as_float(static_cast<std::uint32_t>(exponent + 127) << 23);
}
/// What the sums of halves (halves/halves.h) are multiplied by: a power of two, in two steps, so
/// that none leaves the range of float32 unless the result does.
struct HalvesFactor {
  float first = 1.0F, second = 1.0F;

  __device__ __forceinline__ static HalvesFactor of(const HalfOperands& operands) {
    const int exponent = *half_exponent(operands.first) + *half_exponent(operands.second);
    return {power_of_two(exponent / 2), power_of_two(exponent - exponent / 2)};
  }
  __device__ __forceinline__ float operator()(float sum) const { return sum * first * second; }
};
/// Where sums are what they are.
struct NoFactor {
  __device__ __forceinline__ static NoFactor of(const HalfOperands&) { return {}; }
  __device__ __forceinline__ float operator()(float sum) const { return sum; }
};

}  // namespace cks::kernels
