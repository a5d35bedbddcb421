#pragma once
#include <cstdint>

namespace cks::kernels::cuda {

/// Division by a number that a whole launch shares. `divide` is exact for dividends below 2^31.
template <class Index>
struct Divider;

/// By a multiplication and a shift, for divisors in [1, 2^31).
/// Source  Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994.
template <>
struct Divider<std::uint32_t> {
  std::uint32_t divisor = 1;
  std::uint32_t multiplier = 1;
  std::uint32_t shift = 0;

  Divider() = default;
  explicit Divider(std::int64_t by) : divisor(static_cast<std::uint32_t>(by)) {
    while ((std::int64_t{1} << shift) < by) {
      ++shift;
    }
    const std::uint64_t power = std::uint64_t{1} << 32;
    multiplier =
        static_cast<std::uint32_t>(power * ((std::uint64_t{1} << shift) - divisor) / divisor + 1);
  }

  __device__ __forceinline__ std::uint32_t divide(std::uint32_t n) const {
    return (__umulhi(n, multiplier) + n) >> shift;
  }
};

/// By the machine's slow division, for everything else.
template <>
struct Divider<std::int64_t> {
  std::int64_t divisor = 1;

  Divider() = default;
  explicit Divider(std::int64_t by) : divisor(by) {}

  __device__ __forceinline__ std::int64_t divide(std::int64_t n) const { return n / divisor; }
};

}  // namespace cks::kernels::cuda
