#pragma once
#include <cstdint>

namespace cks::kernels {
namespace cuda {

/// Adds 1 to a counter in memory of the device.
void count_up(std::int64_t* counter);

/// Adds 1 to each of `count` counters; the list of them lies in host memory, and is read before the
/// call returns. Does nothing if `skip` is not null and *skip is not 0.
void count_up(std::int64_t* const* counters, std::int64_t count,
              const std::uint8_t* skip = nullptr);
}  // namespace cuda

namespace cpu {
inline void count_up(std::int64_t* counter) { ++*counter; }

inline void count_up(std::int64_t* const* counters, std::int64_t count,
                     const std::uint8_t* skip = nullptr) {
  for (std::int64_t i = 0; (skip == nullptr || *skip == 0) && i < count; ++i) {
    ++*counters[i];
  }
}
}  // namespace cpu

}  // namespace cks::kernels
