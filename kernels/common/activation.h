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

/// A standard normal distribution at x: its share below, and its density.
struct Normal {
  float share, density;
};
/// For results of bfloat16: the share is at most 1.5e-7 away, at an exponential and a reciprocal in
/// place of an error function and an exponential (Abramowitz and Stegun, Handbook of Mathematical
/// Functions, 7.1.26). 0 and 1 at the infinities.
CKS_HOST_DEVICE inline Normal narrow_normal(float x) {
  const float distance = 1.0F + 0.3275911F * 0.70710678F * std::fabs(x);
#ifdef __CUDA_ARCH__
  const float t = __fdividef(1.0F, distance);
  const float power = __expf(-0.5F * (x * x));
#else
  const float t = 1.0F / distance;
  const float power = std::exp(-0.5F * (x * x));
#endif
  const float sum =
      0.254829592F +
      t * (-0.284496736F + t * (1.421413741F + t * (-1.453152027F + t * 1.061405429F)));
  const float tail = 0.5F * t * sum * power;
  return {x < 0.0F ? tail : 1.0F - tail, 0.39894228F * power};
}
CKS_HOST_DEVICE inline float narrow_gelu(float x) {
  const float share = narrow_normal(x).share;
  return share == 0.0F ? 0.0F : x * share;
}
CKS_HOST_DEVICE inline float narrow_gelu_slope(float x) {
  const Normal normal = narrow_normal(x);
  return normal.share + (normal.density == 0.0F ? 0.0F : x * normal.density);
}

}  // namespace cks::kernels
