#pragma once
#include <cmath>
#include <cstdint>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/host_device.h"

/// The formulas of batch normalisation for one channel or element: the one copy for the CPU and the
/// GPU.
namespace cks::kernels {

/// 1 / sqrt(variance + eps).
CKS_HOST_DEVICE inline double inverse_std(double variance, double eps) {
  return 1.0 / std::sqrt(variance + eps);
}

/// A running statistic moved by `momentum` towards a batch's.
CKS_HOST_DEVICE inline double moved(double running, double batch, double momentum) {
  return (1.0 - momentum) * running + momentum * batch;
}

/// The same for a running variance, which takes the batch's unbiased one.
CKS_HOST_DEVICE inline double moved_unbiased(double running, double variance, double n,
                                             double momentum) {
  return (1.0 - momentum) * running + momentum * variance * n / (n - 1.0);
}

struct ChannelStatistics {
  double mean, variance;  // biased
};

/// From sum(x - shift) and sum((x - shift)^2) over n values.
CKS_HOST_DEVICE inline ChannelStatistics channel_statistics(double shift, double sum,
                                                            double squares, double n) {
  const double shifted_mean = sum / n;
  const double around_mean = squares - sum * shifted_mean;
  // Rounding may leave less than nothing; a NaN stays one.
  return {shift + shifted_mean, around_mean < 0.0 ? 0.0 : around_mean / n};
}

/// Where the statistics of the channels go; running_mean and running_var may be null.
template <class T>
struct ChannelFinish {
  T* mean;
  T* inv_std;
  T* running_mean;
  T* running_var;
  double eps, momentum;

  /// Of channel c, over n values.
  CKS_HOST_DEVICE void operator()(std::int64_t c, const ChannelStatistics& s, double n) const {
    // Read before anything is written, so that a GPU waits for both at once.
    const T mean_before = running_mean != nullptr ? running_mean[c] : T{0};
    const T var_before = running_var != nullptr ? running_var[c] : T{0};
    mean[c] = static_cast<T>(s.mean);
    inv_std[c] = static_cast<T>(inverse_std(s.variance, eps));
    if (running_mean != nullptr) {
      running_mean[c] = static_cast<T>(moved(static_cast<double>(mean_before), s.mean, momentum));
    }
    if (running_var != nullptr) {
      running_var[c] =
          static_cast<T>(moved_unbiased(static_cast<double>(var_before), s.variance, n, momentum));
    }
  }
};

/// Channel c from its sums around x[c], its first element.
template <class X, class T>
struct StatisticsFinish {
  const X* x;
  ChannelFinish<T> finish;
  double n;

  CKS_HOST_DEVICE void operator()(std::int64_t c, double sum, double squares) const {
    finish(c, channel_statistics(widen<double>(x[c]), sum, squares, n), n);
  }
};

/// Channel c from its sums around 0, which what made x has left.
template <class T>
struct LeftSumsFinish {
  ChannelFinish<T> finish;
  double n;

  CKS_HOST_DEVICE void operator()(std::int64_t c, double sum, double squares) const {
    finish(c, channel_statistics(0.0, sum, squares, n), n);
  }
};

/// The same for ranks to exchange: moments [2C+1] of rows that may be none.
template <class X>
struct MomentsFinish {
  const X* x;
  double* moments;
  double n;
  std::int64_t C;

  CKS_HOST_DEVICE void operator()(std::int64_t c, double sum, double squares) const {
    const ChannelStatistics s = channel_statistics(widen<double>(x[c]), sum, squares, n);
    moments[c] = s.mean;
    moments[C + c] = s.variance * n;
    moments[2 * C] = n;  // each channel writes the same
  }
};

/// Channel c of all ranks from their moments [parts,2C+1].
template <class T>
CKS_HOST_DEVICE void merge_moments(std::int64_t c, std::int64_t C, std::int64_t parts,
                                   const double* moments, const ChannelFinish<T>& finish) {
  const std::int64_t row = 2 * C + 1;
  double n = 0.0;
  double sum = 0.0;
  for (std::int64_t part = 0; part < parts; ++part) {
    const double* of = moments + part * row;
    n += of[2 * C];
    sum += of[c] * of[2 * C];
  }
  const double mean = sum / n;
  double squares = 0.0;
  for (std::int64_t part = 0; part < parts; ++part) {
    const double* of = moments + part * row;
    squares += of[C + c] + of[2 * C] * (of[c] - mean) * (of[c] - mean);
  }
  finish(c, {mean, squares / n}, n);
}

/// The activation at the end, if there is one, and dY on its way back through it, v being what went
/// in.
template <class T>
struct SlopeActivation {
  T slope;
  CKS_HOST_DEVICE T operator()(T v) const { return activated(v, slope); }
  CKS_HOST_DEVICE T gradient(T dy, T v) const { return masked(dy, v, slope); }
};
template <class X, class T>
struct GeluActivation {
  CKS_HOST_DEVICE T operator()(T v) const { return gelu(v); }
  CKS_HOST_DEVICE T gradient(T dy, T v) const { return dy * gelu_slope(v); }
};
template <>
struct GeluActivation<bfloat16, float> {
  CKS_HOST_DEVICE float operator()(float v) const { return narrow_gelu(v); }
  CKS_HOST_DEVICE float gradient(float dy, float v) const { return dy * narrow_gelu_slope(v); }
};

/// What the forward pass needs of a channel: y = (x - center) * scale + shift.
template <class T>
struct ForwardChannel {
  T center, scale, shift;
  CKS_HOST_DEVICE T operator()(T x) const { return (x - center) * scale + shift; }
};

/// That of channel c; weight and bias may be null.
template <class T>
CKS_HOST_DEVICE ForwardChannel<T> forward_channel(std::int64_t c, const T* mean, const T* inv_std,
                                                  const T* weight, const T* bias) {
  return {mean[c], weight == nullptr ? inv_std[c] : inv_std[c] * weight[c],
          bias == nullptr ? T{0} : bias[c]};
}

/// What the input gradient needs of a channel.
template <class T>
struct BackwardChannel {
  T center, scale;
  T constant;  // sum(dY) / rows, 0 for given statistics
  T slope;     // of X - mean: sum(dY * xhat) / rows * inv_std
  CKS_HOST_DEVICE T operator()(T x, T dy) const {
    return scale * (dy - constant - (x - center) * slope);
  }
};

/// That of channel c of C, from its sums [2,C] over n rows, which are null for given statistics.
template <class T>
CKS_HOST_DEVICE BackwardChannel<T> backward_channel(std::int64_t c, std::int64_t C,
                                                    const ForwardChannel<T>& forth,
                                                    const T* inv_std, const double* sums,
                                                    double n) {
  if (sums == nullptr) {
    return {forth.center, forth.scale, T{0}, T{0}};
  }
  return {forth.center, forth.scale, static_cast<T>(sums[c] / n),
          static_cast<T>(sums[C + c] / n) * inv_std[c]};
}

}  // namespace cks::kernels
