#pragma once
#include <cstdint>

namespace cks::kernels {
namespace cpu {

/// Adds 1 to a counter in memory of the device.
inline void count_up(std::int64_t* counter) { ++*counter; }

/// Adds 1 to each of `count` counters; the list of them lies in host memory, and is read before the
/// call returns. Does nothing if `skip` is not null and *skip is not 0.
inline void count_up(std::int64_t* const* counters, std::int64_t count,
                     const std::uint8_t* skip = nullptr) {
  if (skip != nullptr && *skip != 0) {
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    ++*counters[i];
  }
}

}  // namespace cpu

/// As cpu::, on device memory, queued on current_stream().
namespace cuda {

void count_up(std::int64_t* counter);
void count_up(std::int64_t* const* counters, std::int64_t count,
              const std::uint8_t* skip = nullptr);

}  // namespace cuda
}  // namespace cks::kernels
