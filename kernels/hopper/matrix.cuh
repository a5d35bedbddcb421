#pragma once
#include <cstdint>

/// Pairs of bfloat16, and matrices of 8x8 of them between registers and shared memory. Each
/// function is one instruction. Source  "stmatrix" and "ldmatrix", PTX ISA 9.0.
namespace cks::kernels::hopper {

/// Rounded to nearest, the first in the lower half.
__device__ __forceinline__ std::uint32_t rounded_pair(float first, float second) {
  std::uint32_t pair = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
__device__ __forceinline__ float2 widened_pair(std::uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000U)};
}

/// The values rounded, which are taken off them: what is left is the next plane's.
__device__ __forceinline__ std::uint32_t split_off(float& first, float& second) {
  const std::uint32_t pair = rounded_pair(first, second);
  const float2 rounded = widened_pair(pair);
  first -= rounded.x;
  second -= rounded.y;
  return pair;
}

/// Four matrices; lane l names where row l%8 of matrix l/8 lies. Element c of pairs[m] of lane
/// (g = l/4, t = l%4) is that of row 2t + c and column g, so rows of sums (wgmma.cuh) become
/// columns.
__device__ __forceinline__ void store_transposed(std::uint32_t address,
                                                 const std::uint32_t (&pairs)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address),
               "r"(pairs[0]), "r"(pairs[1]), "r"(pairs[2]), "r"(pairs[3])
               : "memory");
}
__device__ __forceinline__ void load_transposed(std::uint32_t address, std::uint32_t (&pairs)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
               : "r"(address)
               : "memory");
}

}  // namespace cks::kernels::hopper
