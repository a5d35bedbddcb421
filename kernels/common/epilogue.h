#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/host_device.h"

/// What a product or a convolution does with a sum before it stores it, so that no other pass over
/// the result is needed.
namespace cks::kernels {

enum class Activation : std::uint8_t { none, relu };

/// In this order, each step only if it is given; c is the element's channel:
///
///   v = sum + bias[c];  v = v*scale[c];  v += shift[c];  v += residual[n,h,w,c];  v = max(v, 0)
///
/// Types    bias, scale, shift [channels] have the filter's type, the residual has the result's.
/// Layout   the residual lies as the result does, with the same pitch; it must not be the result.
/// Sums     channel_sums [2][channels] float64: of all stored values of a channel, and of their
///          squares, added in a fixed order; needs sums_workspace (channel_sums.h).
struct Epilogue {
  const void* bias = nullptr;
  const void* scale = nullptr;
  const void* shift = nullptr;
  const void* residual = nullptr;
  Activation activation = Activation::none;
  double* channel_sums = nullptr;
  void* sums_workspace = nullptr;
};

/// An Epilogue for a result of T and a filter of F.
template <class T, class F = T>
struct TypedEpilogue {
  const F* bias = nullptr;
  const F* scale = nullptr;
  const F* shift = nullptr;
  const T* residual = nullptr;
  Activation activation = Activation::none;
  bool is_plain = true;  // nothing but the bias, if that

  TypedEpilogue() = default;
  explicit TypedEpilogue(const Epilogue& e)
      : bias(static_cast<const F*>(e.bias)),
        scale(static_cast<const F*>(e.scale)),
        shift(static_cast<const F*>(e.shift)),
        residual(static_cast<const T*>(e.residual)),
        activation(e.activation),
        is_plain(e.scale == nullptr && e.shift == nullptr && e.residual == nullptr &&
                 e.activation == Activation::none) {}

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
    const bool cut = activation == Activation::relu && value < Sum{0};  // a NaN stays
    return cut ? Sum{0} : value;
  }
};

}  // namespace cks::kernels
