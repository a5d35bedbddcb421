#pragma once
#include <cstdint>
#include <string>

namespace cks::kernels {

/// Which instructions the CPU's kernels use. On x86-64 a build has them for three levels of the
/// psABI, each a superset of the one before, and runs the widest that the processor knows. A build
/// with CKS_NATIVE, or for another architecture, has them once.
///
///   v2   SSE4.2, vectors of 16 bytes       v3     AVX2 and FMA, 32 bytes
///   v4   AVX-512, 64 bytes                 only   what the compiler was told
enum class CpuLevel : std::uint8_t { v2, v3, v4, only };

/// The level in use, the same for the life of the process. The environment variable CKS_CPU_LEVEL
/// (v2, v3 or v4) chooses another one that the processor knows.
/// Throws Error, naming those that there are, if the variable names none of them; and if the
/// processor knows none.
CpuLevel cpu_level();

/// "x86-64-v4 (AVX-512)"; where there is one level, the widest vectors it was compiled for:
/// "AVX-512", "NEON".
std::string cpu_level_name();

}  // namespace cks::kernels
