#pragma once
#include <cstdint>

#include "cks/kernels/hopper/matrix.cuh"

/// Products of the tensor cores from compute capability 8.0 on: a warp adds A [16 x K] * B [K x 8]
/// to float32 sums, K being 32 bytes of elements. The registers of a thread, of lane 4*g + t:
///
///   sums  {row g, columns 2t and 2t+1}, {row g+8, the same}
///   A     4 bytes each: {row g, byte 4t of K}, {g+8, 4t}, {g, 16+4t}, {g+8, 16+4t}
///   B     4 bytes each: {column g, byte 4t of K}, {g, 16+4t}
///
/// Source  "Matrix multiply-accumulate operation using mma instruction", PTX ISA 9.0.
namespace cks::kernels::ampere {

/// Four matrices of 8 rows of 16 bytes; lanes 8*i to 8*i+7 say where the rows of matrix i lie. A
/// thread gets 4 bytes of each: byte 4t of row g, or, transposed, 2 bytes of rows 2t and 2t+1.
template <bool kTransposed>
__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], std::uint32_t row) {
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
  }
}

/// 4 bytes of shared memory.
__device__ __forceinline__ std::uint32_t load_word(std::uint32_t from) {
  std::uint32_t word = 0;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(from) : "memory");
  return word;
}
__device__ __forceinline__ float2 load_pair(std::uint32_t from) {
  float2 pair;
  asm volatile("ld.shared.v2.f32 {%0,%1}, [%2];"
               : "=f"(pair.x), "=f"(pair.y)
               : "r"(from)
               : "memory");
  return pair;
}

/// A float32 rounded to what tf32 products read; they would cut it.
__device__ __forceinline__ std::uint32_t rounded_to_tf32(std::uint32_t bits) {
  std::uint32_t rounded = 0;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

/// The planes of a pair of float32 as pairs of bfloat16, the first in the lower half: each the
/// rounded rest of those before.
template <int kPlanes>
__device__ __forceinline__ void split_pair(float2 rest, std::uint32_t (&planes)[kPlanes]) {
#pragma unroll
  for (int plane = 0; plane < kPlanes; ++plane) {
    planes[plane] = hopper::split_off(rest.x, rest.y);
  }
}

/// K = 16; sums: in addition, or anew.
__device__ __forceinline__ void multiply_bf16(float (&sums)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void multiply_bf16_anew(float (&sums)[4], const std::uint32_t (&a)[4],
                                                   const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%10,%10,%10};"
      : "=f"(sums[0]), "=f"(sums[1]), "=f"(sums[2]), "=f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.0F));
}
/// K = 8.
__device__ __forceinline__ void multiply_tf32(float (&sums)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace cks::kernels::ampere
