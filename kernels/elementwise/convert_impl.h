#pragma once
#include <limits>
#include <type_traits>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/host_device.h"

namespace cks::kernels::functors {

template <class T>
constexpr bool kIsReal = std::is_floating_point_v<T> || std::is_same_v<T, bfloat16>;

// Device code may use these, but not call the functions behind them.
template <class T>
constexpr T kLowest = std::numeric_limits<T>::min();
template <class T>
constexpr T kHighest = std::numeric_limits<T>::max();

/// One element in another dtype, as elementwise.h says of convert().
template <class To, class From>
CKS_HOST_DEVICE To convert_element(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, bfloat16>) {
    return convert_element<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else if constexpr (kIsReal<From> && !kIsReal<To>) {
    // The limits as powers of two are exact in From, unlike the greatest integer itself.
    constexpr From kLow = static_cast<From>(kLowest<To>);
    constexpr To kHalf = kHighest<To> / 2 + 1;
    constexpr From kBeyond = static_cast<From>(kHalf) * From(2);
    if (value != value) {
      return 0;
    }
    if (value < kLow) {
      return kLowest<To>;
    }
    return value >= kBeyond ? kHighest<To> : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

/// The same as a function of one element.
template <class To>
struct Convert {
  template <class From>
  CKS_HOST_DEVICE To operator()(From value) const {
    return convert_element<To>(value);
  }
};

}  // namespace cks::kernels::functors
