#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX__)
#  include <immintrin.h>
#endif

#include "cks/kernels/common/entry_point.h"

/// Vector registers of the CPU, on the vector extensions of GCC and Clang.
namespace cks::kernels::CKS_CPU {

/// Bytes of the vector registers that this library was compiled for.
#if defined(__AVX512VL__)
inline constexpr int kSimdBytes = 64;
#elif defined(__AVX__)
inline constexpr int kSimdBytes = 32;
#else
inline constexpr int kSimdBytes = 16;
#endif

/// Asks for the cache lines of `count` elements, which may lie anywhere: an address that is not
/// mapped does no harm.
template <class T>
void prefetch_lines(const T* from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 64 / static_cast<std::int64_t>(sizeof(T))) {
    __builtin_prefetch(from + i);
  }
}

/// A vector register of T. load and store take any alignment; the *_part forms touch only the
/// first `count` elements, 0 <= count <= width, and load zeros for the others.
template <class Scalar, int Bytes>
struct Simd {
  using T = Scalar;
  typedef T Vec __attribute__((vector_size(Bytes)));  // NOLINT(modernize-use-using): attribute
  static constexpr int width = Bytes / static_cast<int>(sizeof(T));

  static Vec load(const T* from) {
    Vec value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  static void store(T* to, Vec value) { std::memcpy(to, &value, sizeof(value)); }

  /// Element i of vector r and element r of vector i change places.
  static void transpose(Vec (&vectors)[width]) {
    swap_blocks<width / 2>(vectors, std::make_index_sequence<width>{});
  }

#if defined(__AVX512VL__)
  static constexpr bool masked = true;  // a masked access costs no more than a plain one
  static Vec load_part(const T* from, std::int64_t count) {
    const auto mask = static_cast<__mmask16>((1U << count) - 1U);
    const auto mask8 = static_cast<__mmask8>(mask);
    static_assert(Bytes >= 32);
    if constexpr (Bytes == 64) {
      return sizeof(T) == 4 ? (Vec)_mm512_maskz_loadu_ps(mask, from)
                            : (Vec)_mm512_maskz_loadu_pd(mask8, from);
    } else {
      return sizeof(T) == 4 ? (Vec)_mm256_maskz_loadu_ps(mask8, from)
                            : (Vec)_mm256_maskz_loadu_pd(mask8, from);
    }
  }
  static void store_part(T* to, Vec value, std::int64_t count) {
    const auto mask = static_cast<__mmask16>((1U << count) - 1U);
    const auto mask8 = static_cast<__mmask8>(mask);
    static_assert(Bytes >= 32);
    if constexpr (Bytes == 64 && sizeof(T) == 4) {
      _mm512_mask_storeu_ps(to, mask, (__m512)value);
    } else if constexpr (Bytes == 64) {
      _mm512_mask_storeu_pd(to, mask8, (__m512d)value);
    } else if constexpr (sizeof(T) == 4) {
      _mm256_mask_storeu_ps(to, mask8, (__m256)value);
    } else {
      _mm256_mask_storeu_pd(to, mask8, (__m256d)value);
    }
  }
#else
  static constexpr bool masked = false;
#  if defined(__AVX__)
  static Vec load_part(const T* from, std::int64_t count) {
    static_assert(Bytes >= 16);
    static constexpr std::int64_t kOnesAndZeros[] = {-1, -1, -1, -1, 0, 0, 0, 0};
    const auto* const mask = reinterpret_cast<const char*>(kOnesAndZeros + 4) - count * sizeof(T);
    if constexpr (Bytes == 32) {
      const __m256i lanes = _mm256_loadu_si256((const __m256i*)mask);
      return sizeof(T) == 4 ? (Vec)_mm256_maskload_ps((const float*)from, lanes)
                            : (Vec)_mm256_maskload_pd((const double*)from, lanes);
    } else {
      const __m128i lanes = _mm_loadu_si128((const __m128i*)mask);
      return sizeof(T) == 4 ? (Vec)_mm_maskload_ps((const float*)from, lanes)
                            : (Vec)_mm_maskload_pd((const double*)from, lanes);
    }
  }
#  else
  // Not inlined: tiles would hold a copy for each of their rows.
  __attribute__((noinline)) static Vec load_part(const T* from, std::int64_t count) {
    Vec value = {};
#    pragma GCC unroll 16
    for (int i = 0; i < width; ++i) {  // indices that are known keep the vector in its register
      if (i < count) {
        value[i] = from[i];
      }
    }
    return value;
  }
#  endif
  static void store_part(T* to, Vec value, std::int64_t count) {
    if (count == width) {
      store(to, value);
      return;
    }
    T lanes[width];
    store(lanes, value);
    std::int64_t at = 0;
#  pragma GCC unroll 4
    for (int part = width / 2; part > 0;
         part /= 2) {  // halves, quarters, ...: sizes that are known
      if ((count & part) != 0) {
        std::memcpy(to + at, lanes + at, part * sizeof(T));
        at += part;
      }
    }
  }
#endif

 private:
  /// Of each square of 2 * Side, the blocks beside its diagonal change places; then those of the
  /// blocks.
  template <int Side, std::size_t... I>
  static void swap_blocks(Vec (&vectors)[width], std::index_sequence<I...> lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < width; ++i) {
      if ((i & Side) == 0) {
        const Vec a = vectors[i];
        const Vec b = vectors[i + Side];
        vectors[i] = __builtin_shufflevector(a, b, (I & Side ? width + I - Side : I)...);
        vectors[i + Side] = __builtin_shufflevector(a, b, (I & Side ? width + I : I + Side)...);
      }
    }
    if constexpr (Side > 1) {
      swap_blocks<Side / 2>(vectors, lanes);
    }
  }
};

}  // namespace cks::kernels::CKS_CPU
