#pragma once
#include <cstdint>

#include "cks/kernels/batch_norm/formulas_impl.h"
#include "cks/kernels/batch_norm/row_sums.cuh"

/// What batch normalisation computes of each element, given its channel. A thread takes batches of
/// kRows rows, V channels each; while it computes one, the next is on its way.
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
template <bool kHasResidual, class X, class T, int V>
struct ForwardElements {
  static constexpr int kChannels = V, kRows = batch_of<X, V>(kHasResidual ? 2 : 1);
  using Channel = ForwardChannel<T>;
  const X* x;
  const X* residual;
  X* y;
  T slope;
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
  __device__ __forceinline__ void compute(const Batch& batch, std::int64_t c, std::int64_t first,
                                          const Channel (&channel)[V]) const {
    Pack<X, V> result[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T sum = channel[v](batch.value[i].template element<T>(v));
        if constexpr (kHasResidual) {
          sum += batch.term[i].template element<T>(v);
        }
        result[i][v] = narrowed<X>(activated(sum, slope));
      }
    }
    store_rows(y + c, result, first, rows, C);
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
    GradientChannel<T> result{{channel.center, channel.scale, T{0}, T{0}}, channel.shift};
    if (sums != nullptr) {
      const double n = shared_rows != nullptr ? *shared_rows : static_cast<double>(rows);
      result.back.constant = static_cast<T>(sums[c] / n);
      result.back.slope = static_cast<T>(sums[C + c] / n) * forth.inv_std[c];
    }
    return result;
  }
};

/// dX of dY, masked by the sign of what the activation took if kMasked, then by that of X.
template <bool kMasked, class X, class T, int V>
struct GradientElements {
  static constexpr int kChannels = V, kRows = batch_of<X, V>(2);
  using Channel = GradientChannel<T>;
  const X* x;
  const X* dy;
  X* dx;
  T slope, input_slope;
  std::int64_t rows, C;

  struct Batch {
    Waiting<X, V> value[kRows];
    Waiting<X, V> gradient[kRows];
  };
  __device__ __forceinline__ void load(Batch& batch, std::int64_t c, std::int64_t first) const {
    load_rows(batch.value, x + c, first, rows, C, {});
    load_rows(batch.gradient, dy + c, first, rows, C, {});
  }
  __device__ __forceinline__ void compute(const Batch& batch, std::int64_t c, std::int64_t first,
                                          const Channel (&channel)[V]) const {
    Pack<X, V> result[kRows];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const auto& [back, shift] = channel[v];
        const T from = batch.value[i].template element<T>(v);
        T term = batch.gradient[i].template element<T>(v);
        if constexpr (kMasked) {
          term = masked(term, ForwardChannel<T>{back.center, back.scale, shift}(from), slope);
        }
        result[i][v] = narrowed<X>(masked(back(from, term), from, input_slope));
      }
    }
    store_rows(dx + c, result, first, rows, C);
  }
};

}  // namespace cks::kernels::cuda
