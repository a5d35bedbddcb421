#pragma once
#include <cstdint>

namespace cks::kernels::cpu {

/// Adds 1 to a counter in memory of the device.
inline void count_up(std::int64_t* counter) { ++*counter; }

}  // namespace cks::kernels::cpu
