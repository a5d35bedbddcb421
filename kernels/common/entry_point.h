#pragma once
#include "cks/config.h"
#include "cks/kernels/common/cpu_level.h"

/// Declares a function for both backends:
///
///   kernels::cpu::f    on memory of the host, done when it returns; the result does not depend on
///                      the number of threads
///   kernels::cuda::f   the same on memory of the current device, queued on current_stream()
///
/// CKS_ENTRY_POINT(void, relu, (std::int64_t count, const float* x, float* y));
/// `CKS_KERNEL` of core/device/dispatch.h calls the one that fits a device.
#define CKS_ENTRY_POINT(result, name, parameters) \
  CKS_CPU_FUNCTION(result, name, parameters);     \
  namespace cuda {                                \
  result name parameters;                         \
  }                                               \
  static_assert(true)

/// The CPU's side alone. Sources that define such functions do so in the namespace CKS_CPU. Where a
/// build has levels (cpu_level.h), they are compiled once for each, with CKS_CPU being cpu_v2,
/// cpu_v3 and cpu_v4, and kernels::cpu::f is an object that calls the level of this processor;
/// otherwise CKS_CPU is cpu, and kernels::cpu::f the function itself.
#if CKS_HAS_CPU_LEVELS && !defined(CKS_CPU)
#  define CKS_CPU_FUNCTION(result, name, parameters)                                   \
    namespace cpu_v2 {                                                                 \
    result name parameters;                                                            \
    }                                                                                  \
    namespace cpu_v3 {                                                                 \
    result name parameters;                                                            \
    }                                                                                  \
    namespace cpu_v4 {                                                                 \
    result name parameters;                                                            \
    }                                                                                  \
    namespace cpu {                                                                    \
    inline constexpr LevelFunction<result parameters> name{cpu_v2::name, cpu_v3::name, \
                                                           cpu_v4::name};              \
    }                                                                                  \
    static_assert(true)
#else
#  if !defined(CKS_CPU)
#    define CKS_CPU cpu
#  endif
#  define CKS_CPU_FUNCTION(result, name, parameters) \
    namespace CKS_CPU {                              \
    result name parameters;                          \
    }                                                \
    static_assert(true)
#endif

namespace cks::kernels {

template <class Function>
struct LevelFunction;

/// One function, compiled for each level.
template <class Result, class... Parameters>
struct LevelFunction<Result(Parameters...)> {
  using Pointer = Result (*)(Parameters...);
  Pointer v2, v3, v4;

  Result operator()(Parameters... arguments) const {
    const CpuLevel level = cpu_level();
    const Pointer function = level == CpuLevel::v4 ? v4 : level == CpuLevel::v3 ? v3 : v2;
    return function(static_cast<Parameters&&>(arguments)...);
  }
};

}  // namespace cks::kernels
