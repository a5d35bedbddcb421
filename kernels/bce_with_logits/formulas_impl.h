#pragma once
#include <cmath>

#include "cks/kernels/common/host_device.h"

/// The formulas of bce_with_logits.h, once for the CPU and the GPU.
namespace cks::kernels {

/// max(x, 0) - x * t + log(1 + exp(-|x|)): no step overflows, and where the loss is small it is not
/// what two large numbers leave.
struct BceLoss {
  template <class T>
  CKS_HOST_DEVICE T operator()(T x, T t) const {
    return (x > T(0) ? x * (T(1) - t) : -x * t) + std::log1p(std::exp(-std::abs(x)));
  }
};

struct BceGradient {
  template <class T>
  CKS_HOST_DEVICE T operator()(T x, T t, T dy) const {
    return dy * (T(1) / (T(1) + std::exp(-x)) - t);
  }
};

}  // namespace cks::kernels
