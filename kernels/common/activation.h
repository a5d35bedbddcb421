#pragma once
#include "cks/kernels/common/host_device.h"

/// The activation that operations apply to what they store: none where the slope below 0 is 1, ReLU
/// where it is 0, otherwise leaky ReLU.
namespace cks::kernels {

/// v above 0, slope * v elsewhere, which of -infinity, too, is 0 for ReLU. A NaN stays. V is T, or
/// on a CPU a vector of T.
template <class V, class T>
CKS_HOST_DEVICE V activated(V v, T slope) {
  const V below = slope == T{0} ? V{} : v * slope;
  return v <= V{} ? below : v;
}

/// dY on its way back through the activation whose result was y.
template <class V, class T>
CKS_HOST_DEVICE V masked(V dy, V y, T slope) {
  const V below = slope == T{0} ? V{} : dy * slope;
  return y <= V{} ? below : dy;
}

}  // namespace cks::kernels
