#pragma once
#include "cks/kernels/common/host_device.h"

/// The activation that operations apply to what they store: none where the slope below 0 is 1, ReLU
/// where it is 0, otherwise leaky ReLU.
namespace cks::kernels {

/// v above 0, slope * v elsewhere, which of -infinity, too, is 0 for ReLU. A NaN stays.
template <class T>
CKS_HOST_DEVICE T activated(T v, T slope) {
  const T below = slope == T{0} ? T{0} : v * slope;
  return v <= T{0} ? below : v;
}

/// dY on its way back through the activation whose result was y.
template <class T>
CKS_HOST_DEVICE T masked(T dy, T y, T slope) {
  const T below = slope == T{0} ? T{0} : dy * slope;
  return y <= T{0} ? below : dy;
}

}  // namespace cks::kernels
