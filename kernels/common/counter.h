#pragma once
#include <cstdint>

namespace cks::kernels {
namespace cpu {

/// Adds 1 to a counter in memory of the device.
inline void count_up(std::int64_t* counter) { ++*counter; }

/// Adds 1 to each of `count` counters; the list of them lies in host memory, and is read before the
/// call returns.
inline void count_up(std::int64_t* const* counters, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    ++*counters[i];
  }
}

}  // namespace cpu

/// As cpu::, on device memory, queued on current_stream().
namespace cuda {

void count_up(std::int64_t* counter);
void count_up(std::int64_t* const* counters, std::int64_t count);

}  // namespace cuda
}  // namespace cks::kernels
