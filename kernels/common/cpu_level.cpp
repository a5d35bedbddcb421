#include "cks/kernels/common/cpu_level.h"

#include <cstdlib>

#include "cks/config.h"
#include "cks/kernels/common/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::kernels {
namespace {

constexpr const char* kVariable = "CKS_CPU_LEVEL";

/// The widest vectors that the compiler was told of.
[[maybe_unused]] const char* compiled_for() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__ARM_NEON)
  return "NEON";
#elif defined(__SSE2__)
  return "SSE2";
#else
  return "no vectors";
#endif
}

#if CKS_HAS_CPU_LEVELS

constexpr const char* kShortNames[] = {"v2", "v3", "v4"};

/// How many of the levels this processor and its operating system know.
int levels_present() {
#  if defined(__clang__)
  // Clang 14 has no names of levels. Processors with these instructions have the rest of theirs.
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
#  else
  const bool v2 = __builtin_cpu_supports("x86-64-v2");
  const bool v3 = __builtin_cpu_supports("x86-64-v3");
  const bool v4 = __builtin_cpu_supports("x86-64-v4");
#  endif
  return !v2 ? 0 : !v3 ? 1 : !v4 ? 2 : 3;
}

CpuLevel choose() {
  const int present = levels_present();
  if (present == 0) {
    throw Error(
        "cks: this build has kernels for x86-64-v2, v3 and v4; the processor lacks instructions of "
        "v2 (SSE4.2, POPCNT)");
  }
  const char* const wanted = std::getenv(kVariable);
  if (wanted == nullptr || *wanted == '\0') {
    return static_cast<CpuLevel>(present - 1);
  }
  std::string known;
  for (int level = 0; level < present; ++level) {
    if (std::string(wanted) == kShortNames[level]) {
      return static_cast<CpuLevel>(level);
    }
    known += (level == 0 ? "" : ", ") + std::string(kShortNames[level]);
  }
  throw Error(formatted("{}=\"{}\" is no level of instructions of this processor, which knows {}",
                        kVariable, wanted, known));
}

#else

CpuLevel choose() {
  const char* const wanted = std::getenv(kVariable);
  if (wanted != nullptr && *wanted != '\0') {
    throw Error(formatted("{}=\"{}\", but this build has its kernels once, for {}", kVariable,
                          wanted, compiled_for()));
  }
  return CpuLevel::only;
}

#endif

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = choose();
  return level;
}

std::string cpu_level_name() {
  switch (cpu_level()) {
    case CpuLevel::v2:
      return "x86-64-v2 (SSE4.2)";
    case CpuLevel::v3:
      return "x86-64-v3 (AVX2)";
    case CpuLevel::v4:
      return "x86-64-v4 (AVX-512)";
    case CpuLevel::only:
      break;
  }
  return compiled_for();
}

}  // namespace cks::kernels
