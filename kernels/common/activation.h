#pragma once
#include <cmath>

#include "cks/kernels/common/host_device.h"

/// The activations that operations apply to what they store: none where the slope below 0 is 1,
/// ReLU where it is 0, otherwise leaky ReLU; and GELU.
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

/// The share of a standard normal distribution below x. Exactly 0 at minus infinity.
template <class T>
CKS_HOST_DEVICE T normal_distribution(T x) {
  return T(0.5) + T(0.5) * std::erf(x * T(0.70710678118654752440));  // 1 / sqrt(2)
}

/// x * normal_distribution(x), 0 at minus infinity.
template <class T>
CKS_HOST_DEVICE T gelu(T x) {
  const T share = normal_distribution(x);
  return share == T(0) ? T(0) : x * share;
}

/// Its derivative.
template <class T>
CKS_HOST_DEVICE T gelu_slope(T x) {
  const T density = T(0.39894228040143267794) * std::exp(T(-0.5) * (x * x));  // 1 / sqrt(2 pi)
  return normal_distribution(x) + (density == T(0) ? T(0) : x * density);
}

}  // namespace cks::kernels
