#pragma once
#include <cstdint>
#include <type_traits>

#include "cks/kernels/common/host_device.h"

/// Whole-number arithmetic of the CPU's and the GPU's kernels.
namespace cks::kernels {

/// a / b rounded towards minus infinity; b > 0.
template <class A, class B>
constexpr CKS_HOST_DEVICE std::common_type_t<A, B> floor_div(A a, B b) {
  const std::common_type_t<A, B> numerator = a, denominator = b;
  return (numerator >= 0 ? numerator : numerator - (denominator - 1)) / denominator;
}

/// a / b rounded towards plus infinity; b > 0.
template <class A, class B>
constexpr CKS_HOST_DEVICE std::common_type_t<A, B> ceil_div(A a, B b) {
  const std::common_type_t<A, B> numerator = a, denominator = b;
  return (numerator > 0 ? numerator + (denominator - 1) : numerator) / denominator;
}

/// The rest of floor_div, in [0, b); b > 0.
template <class A, class B>
constexpr CKS_HOST_DEVICE std::common_type_t<A, B> mod(A a, B b) {
  return a - b * floor_div(a, b);
}

/// The least multiple of `step` > 0 that is not below `value`.
template <class A, class B>
constexpr CKS_HOST_DEVICE std::common_type_t<A, B> round_up(A value, B step) {
  return ceil_div(value, step) * step;
}

/// `all` in equal groups of at most `most`.
constexpr std::int64_t balanced(std::int64_t all, std::int64_t most) {
  return ceil_div(all, ceil_div(all, most));
}

/// An extent as the 32-bit number that GPU kernels count with. Unchecked: selection lets a kernel
/// take a problem only where its extents and products of them fit.
constexpr CKS_HOST_DEVICE int narrow(std::int64_t value) { return static_cast<int>(value); }

}  // namespace cks::kernels
