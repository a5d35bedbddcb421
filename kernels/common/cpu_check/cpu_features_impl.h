#pragma once
#if defined(__aarch64__) && defined(__linux__)
#  include <asm/hwcap.h>
#  include <sys/auxv.h>
#endif

/// Instructions that a compiler uses of its own accord if flags such as -march=native allow it:
/// CKS_CPU_FEATURES(F) is a list of F(name, macro of the compiler, whether this processor has
/// them). cpu_features.cpp turns it into what this build uses, cpu_check.cpp compares that with the
/// processor.
#if defined(__x86_64__)
#  define CKS_HAS_FEATURE(name) (__builtin_cpu_supports(name) != 0)
#  if defined(__clang__)  // Clang 14 cannot ask for these
#    define CKS_CPU_FEATURES_OF_GCC(F)
#  else
#    define CKS_CPU_FEATURES_OF_GCC(F)                      \
      F("lzcnt", __LZCNT__, CKS_HAS_FEATURE("lzcnt"))       \
      F("movbe", __MOVBE__, CKS_HAS_FEATURE("movbe"))       \
      F("f16c", __F16C__, CKS_HAS_FEATURE("f16c"))          \
      F("avxvnni", __AVXVNNI__, CKS_HAS_FEATURE("avxvnni")) \
      F("avx512fp16", __AVX512FP16__, CKS_HAS_FEATURE("avx512fp16"))
#  endif
#  define CKS_CPU_FEATURES(F)                                                     \
    F("sse3", __SSE3__, CKS_HAS_FEATURE("sse3"))                                  \
    F("ssse3", __SSSE3__, CKS_HAS_FEATURE("ssse3"))                               \
    F("sse4.1", __SSE4_1__, CKS_HAS_FEATURE("sse4.1"))                            \
    F("sse4.2", __SSE4_2__, CKS_HAS_FEATURE("sse4.2"))                            \
    F("sse4a", __SSE4A__, CKS_HAS_FEATURE("sse4a"))                               \
    F("popcnt", __POPCNT__, CKS_HAS_FEATURE("popcnt"))                            \
    F("avx", __AVX__, CKS_HAS_FEATURE("avx"))                                     \
    F("fma4", __FMA4__, CKS_HAS_FEATURE("fma4"))                                  \
    F("xop", __XOP__, CKS_HAS_FEATURE("xop"))                                     \
    F("avx2", __AVX2__, CKS_HAS_FEATURE("avx2"))                                  \
    F("fma", __FMA__, CKS_HAS_FEATURE("fma"))                                     \
    F("bmi", __BMI__, CKS_HAS_FEATURE("bmi"))                                     \
    F("bmi2", __BMI2__, CKS_HAS_FEATURE("bmi2"))                                  \
    F("gfni", __GFNI__, CKS_HAS_FEATURE("gfni"))                                  \
    F("avx512f", __AVX512F__, CKS_HAS_FEATURE("avx512f"))                         \
    F("avx512cd", __AVX512CD__, CKS_HAS_FEATURE("avx512cd"))                      \
    F("avx512bw", __AVX512BW__, CKS_HAS_FEATURE("avx512bw"))                      \
    F("avx512dq", __AVX512DQ__, CKS_HAS_FEATURE("avx512dq"))                      \
    F("avx512vl", __AVX512VL__, CKS_HAS_FEATURE("avx512vl"))                      \
    F("avx512ifma", __AVX512IFMA__, CKS_HAS_FEATURE("avx512ifma"))                \
    F("avx512vbmi", __AVX512VBMI__, CKS_HAS_FEATURE("avx512vbmi"))                \
    F("avx512vbmi2", __AVX512VBMI2__, CKS_HAS_FEATURE("avx512vbmi2"))             \
    F("avx512vnni", __AVX512VNNI__, CKS_HAS_FEATURE("avx512vnni"))                \
    F("avx512bitalg", __AVX512BITALG__, CKS_HAS_FEATURE("avx512bitalg"))          \
    F("avx512vpopcntdq", __AVX512VPOPCNTDQ__, CKS_HAS_FEATURE("avx512vpopcntdq")) \
    F("avx512bf16", __AVX512BF16__, CKS_HAS_FEATURE("avx512bf16"))                \
    CKS_CPU_FEATURES_OF_GCC(F)
#elif defined(__aarch64__) && defined(__linux__)
#  define CKS_HAS_FEATURE(bit) ((getauxval(AT_HWCAP) & (bit)) != 0)
#  define CKS_CPU_FEATURES(F)                                                       \
    F("atomics", __ARM_FEATURE_ATOMICS, CKS_HAS_FEATURE(HWCAP_ATOMICS))             \
    F("dotprod", __ARM_FEATURE_DOTPROD, CKS_HAS_FEATURE(HWCAP_ASIMDDP))             \
    F("fp16", __ARM_FEATURE_FP16_VECTOR_ARITHMETIC, CKS_HAS_FEATURE(HWCAP_ASIMDHP)) \
    F("sve", __ARM_FEATURE_SVE, CKS_HAS_FEATURE(HWCAP_SVE))                         \
    F("sve2", __ARM_FEATURE_SVE2, (getauxval(AT_HWCAP2) & HWCAP2_SVE2) != 0)
#else
#  define CKS_CPU_FEATURES(F)
#endif

namespace cks::kernels {

/// Whether this build uses the features of the list, in its order.
extern const bool kUsesFeature[];

}  // namespace cks::kernels
