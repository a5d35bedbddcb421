#pragma once
#include <cstdint>
#include <type_traits>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/host_device.h"

/// What a product or a convolution does with a sum before it stores it, so that no other pass over
/// the result is needed.
namespace cks::kernels {

/// In this order, each step only if it is given; c is the element's channel:
///
///   v = sum + bias[c];  v = v*scale[c];  v += shift[c];  v += residual[n,h,w,c];
///   v = v > 0 ? v : negative_slope*v;  v = mask[n,h,w,c] > 0 ? v : mask_slope*v
///
/// Types    bias, scale, shift [channels] have the filter's type, the residual has the result's.
/// Layout   the residual lies as the result does, with the same pitch; it must not be the result.
/// Mask     of a dense input gradient on a GPU alone, with its type: what an activation that made X
///          does to the gradient of X. A NaN counts as above 0.
/// Sums     channel_sums [rows][2][channels] float32: of the stored values of a channel and of
///          their squares, each row over some of the pixels, in a fixed order. Of a forward pass
///          for which conv2d_sum_rows() says how many rows there are.
struct Epilogue {
  const void* bias = nullptr;
  const void* scale = nullptr;
  const void* shift = nullptr;
  const void* residual = nullptr;
  double negative_slope = 1.0;  // 1: no activation; 0: ReLU (activation.h)
  const void* mask = nullptr;
  double mask_slope = 1.0;
  float* channel_sums = nullptr;
};

/// An Epilogue for a result of T and a filter of F, without its mask and sums.
template <class T, class F = T>
struct TypedEpilogue {
  using Slope = std::conditional_t<std::is_same_v<T, double>, double, float>;

  const F* bias = nullptr;
  const F* scale = nullptr;
  const F* shift = nullptr;
  const T* residual = nullptr;
  Slope slope = 1;
  bool is_plain = true;  // nothing but the bias, if that

  TypedEpilogue() = default;
  explicit TypedEpilogue(const Epilogue& e)
      : bias(static_cast<const F*>(e.bias)),
        scale(static_cast<const F*>(e.scale)),
        shift(static_cast<const F*>(e.shift)),
        residual(static_cast<const T*>(e.residual)),
        slope(static_cast<Slope>(e.negative_slope)),
        is_plain(e.scale == nullptr && e.shift == nullptr && e.residual == nullptr &&
                 e.negative_slope == 1.0) {}

  /// The value to store for a sum of `channel`, `at` elements behind the result's base. Sum may be
  /// wider than T.
  template <class Sum>
  CKS_HOST_DEVICE Sum apply(Sum sum, std::int64_t channel, std::int64_t at) const {
    if (bias != nullptr) {
      sum += widen<Sum>(bias[channel]);
    }
    return is_plain ? sum : finish(sum, channel, at);
  }
  /// What follows the bias.
  template <class Sum>
  CKS_HOST_DEVICE Sum finish(Sum value, std::int64_t channel, std::int64_t at) const {
    if (scale != nullptr) {
      value *= widen<Sum>(scale[channel]);
    }
    if (shift != nullptr) {
      value += widen<Sum>(shift[channel]);
    }
    if (residual != nullptr) {
      value += widen<Sum>(residual[at]);
    }
    return activated(value, static_cast<Sum>(slope));
  }
};

}  // namespace cks::kernels
