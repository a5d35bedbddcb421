#pragma once
#include <limits>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/host_device.h"

/// What the reductions of the CPU and the GPU share: partial results of type Partial begin at
/// kStart, take in elements and join each other.
/// Private to this room's implementation.
namespace cks::kernels::functors {

template <class T>
struct Sum {
  using Partial = double;
  static constexpr Partial kStart = 0.0;
  CKS_HOST_DEVICE static Partial take(Partial partial, T x) { return partial + widen<double>(x); }
  CKS_HOST_DEVICE static Partial join(Partial a, Partial b) { return a + b; }
};

template <class T>
struct SumOfSquares : Sum<T> {
  CKS_HOST_DEVICE static double take(double partial, T x) {
    const double wide = static_cast<double>(x);
    return partial + wide * wide;
  }
};

template <class T>
struct Max {
  using Partial = T;
  static constexpr Partial kStart = -std::numeric_limits<T>::infinity();
  // A NaN in x is taken, and a NaN in partial stays because nothing is greater.
  CKS_HOST_DEVICE static Partial take(Partial partial, T x) {
    const T larger = x > partial ? x : partial;
    return x != x ? x : larger;
  }
  CKS_HOST_DEVICE static Partial join(Partial a, Partial b) { return take(a, b); }
};

}  // namespace cks::kernels::functors
