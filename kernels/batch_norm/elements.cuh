#pragma once
#include <cstdint>

#include "cks/kernels/batch_norm/formulas_impl.h"
#include "cks/kernels/batch_norm/row_sums.cuh"

/// What batch normalisation computes of each element, given its channel: of row i and channel v of
/// a thread's batch of kRows rows, V channels each. elements_kernel() goes over all.
namespace cks::kernels::cuda {

/// Channels whose statistics are in memory.
template <class T>
struct ForwardChannels {
  const T* mean;
  const T* inv_std;
  const T* weight;  // null: 1
  const T* bias;    // null: 0

  __device__ ForwardChannel<T> operator()(std::int64_t c) const {
    return forward_channel(c, mean, inv_std, weight, bias);
  }
};

/// Y of X.
template <bool kHasResidual, class Activation, class X, class T, int V>
struct ForwardElements {
  static constexpr int kChannels = V, kRows = batch_of<X, V>(kHasResidual ? 2 : 1);
  using Channel = ForwardChannel<T>;
  using Element = X;
  const X* x;
  const X* residual;
  X* result;
  Activation activation;
  std::int64_t rows, C;

  struct Batch {
    Waiting<X, V> value[kRows];
    Waiting<X, V> term[kHasResidual ? kRows : 1];
  };
  __device__ __forceinline__ void load(Batch& batch, std::int64_t c, std::int64_t first) const {
    load_rows(batch.value, x + c, first, rows, C, {});
    if constexpr (kHasResidual) {
      load_rows(batch.term, residual + c, first, rows, C, {});
    }
  }
  __device__ __forceinline__ T compute(const Batch& batch, int i, int v,
                                       const Channel& channel) const {
    T sum = channel(batch.value[i].template element<T>(v));
    if constexpr (kHasResidual) {
      sum += batch.term[i].template element<T>(v);
    }
    return activation(sum);
  }
};

template <class T>
struct GradientChannel {
  BackwardChannel<T> back;
  T shift;  // of the forward pass
};

/// Channels whose sums are in memory.
template <class T>
struct GradientChannels {
  ForwardChannels<T> forth;
  const double* sums;         // [2][C]; null for given statistics
  const double* shared_rows;  // those of all ranks; null: `rows`
  std::int64_t rows, C;

  __device__ GradientChannel<T> operator()(std::int64_t c) const {
    const ForwardChannel<T> channel = forth(c);
    const double n = shared_rows != nullptr ? *shared_rows : static_cast<double>(rows);
    return {backward_channel(c, C, channel, forth.inv_std, sums, n), channel.shift};
  }
};

/// dX of dY, masked by the sign of what the activation took if kMasked, then by that of X.
template <bool kMasked, class Activation, class X, class T, int V>
struct GradientElements {
  static constexpr int kChannels = V, kRows = batch_of<X, V>(2);
  using Channel = GradientChannel<T>;
  using Element = X;
  const X* x;
  const X* dy;
  X* result;
  Activation activation;
  T input_slope;
  std::int64_t rows, C;

  struct Batch {
    Waiting<X, V> value[kRows];
    Waiting<X, V> gradient[kRows];
  };
  __device__ __forceinline__ void load(Batch& batch, std::int64_t c, std::int64_t first) const {
    load_rows(batch.value, x + c, first, rows, C, {});
    load_rows(batch.gradient, dy + c, first, rows, C, {});
  }
  __device__ __forceinline__ T compute(const Batch& batch, int i, int v,
                                       const Channel& channel) const {
    const auto& [back, shift] = channel;
    const T from = batch.value[i].template element<T>(v);
    T term = batch.gradient[i].template element<T>(v);
    if constexpr (kMasked) {
      term = activation.gradient(term, ForwardChannel<T>{back.center, back.scale, shift}(from));
    }
    return masked(back(from, term), from, input_slope);
  }
};

}  // namespace cks::kernels::cuda
