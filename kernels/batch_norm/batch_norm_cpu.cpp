#include <algorithm>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/batch_norm/formulas_impl.h"
#include "cks/kernels/common/math.h"
#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/common/simd.h"

namespace cks::kernels {
namespace {

constexpr std::int64_t kBlockElements = 16384;  // of X; stays in the first or second cache
constexpr std::int64_t kMaxBlocks = 1024;

/// Rows of one block, by the problem alone.
std::int64_t block_rows(const BatchNormProblem& p) {
  const std::int64_t by_size = std::max<std::int64_t>(1, kBlockElements / p.C);
  return std::max(by_size, ceil_div(p.rows, kMaxBlocks));
}

std::int64_t block_count(const BatchNormProblem& p) { return ceil_div(p.rows, block_rows(p)); }

/// Calls body(c, V) for neighbouring ranges of V channels that cover [0, C), V an integral
/// constant: a body's loops over V become vector instructions.
template <class Body>
void for_channel_ranges(std::int64_t C, Body&& body) {
  std::int64_t c = 0;
  for (; c + 16 <= C; c += 16) {
    body(c, std::integral_constant<int, 16>{});
  }
  for (; c + 4 <= C; c += 4) {
    body(c, std::integral_constant<int, 4>{});
  }
  for (; c < C; ++c) {
    body(c, std::integral_constant<int, 1>{});
  }
}

/// First stage of two sums per channel: block b writes partial[b][0][c] and partial[b][1][c].
/// terms(row, c, first, second) returns the two terms of V channels at element row*C+c.
template <class Terms>
void sum_blocks(const BatchNormProblem& p, double* partial, Terms&& terms) {
  const std::int64_t rows = block_rows(p);
  parallel_for_ranges(p.rows, rows, [&](std::int64_t begin, std::int64_t end) {
    double* sums = partial + begin / rows * 2 * p.C;
    for_channel_ranges(p.C, [&](std::int64_t c, auto channels) {
      constexpr int V = channels;
      double first[V] = {};
      double second[V] = {};
      const auto term = terms(c, channels);
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t at = row * p.C + c;
        for (int v = 0; v < V; ++v) {
          term(at + v, v, first[v], second[v]);
        }
      }
      std::copy(first, first + V, sums + c);
      std::copy(second, second + V, sums + p.C + c);
    });
  });
}

/// Second stage: adds the blocks in order into block 0.
void add_blocks(const BatchNormProblem& p, double* partial) {
  for (std::int64_t block = 1; block < block_count(p); ++block) {
    const double* from = partial + block * 2 * p.C;
    for (std::int64_t i = 0; i < 2 * p.C; ++i) {
      partial[i] += from[i];
    }
  }
}

/// finish(c, sum, squares) for each channel, both around its first element.
template <class T, class Finish>
void sum_statistics(const BatchNormProblem& p, const T* x, const Finish& finish, double* partial) {
  // Around the first row, so that a mean far from zero cancels nothing in the sum of squares.
  sum_blocks(p, partial, [&](std::int64_t c, auto channels) {
    constexpr int V = channels;
    struct Term {
      const T* x;
      double shift[V];
      void operator()(std::int64_t at, int v, double& sum, double& squares) const {
        const double value = static_cast<double>(x[at]) - shift[v];
        sum += value;
        squares += value * value;
      }
    };
    Term term{x, {}};
    for (int v = 0; v < V; ++v) {
      term.shift[v] = static_cast<double>(x[c + v]);
    }
    return term;
  });
  add_blocks(p, partial);
  for (std::int64_t c = 0; c < p.C; ++c) {
    finish(c, partial[c], partial[p.C + c]);
  }
}

template <class T>
void statistics(const BatchNormProblem& p, double eps, double momentum, const T* x, T* mean,
                T* inv_std, T* running_mean, T* running_var, double* partial) {
  const StatisticsFinish<T, T> finish{
      x, {mean, inv_std, running_mean, running_var, eps, momentum}, static_cast<double>(p.rows)};
  sum_statistics(p, x, finish, partial);
}

/// finish(c, sum, squares) for each channel, from [row_blocks][2][C], added in order.
template <class Finish>
void add_row_blocks(std::int64_t C, const Finish& finish, std::int64_t row_blocks,
                    const float* partial) {
  for (std::int64_t c = 0; c < C; ++c) {
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t block = 0; block < row_blocks; ++block) {
      sum += static_cast<double>(partial[block * 2 * C + c]);
      squares += static_cast<double>(partial[(block * 2 + 1) * C + c]);
    }
    finish(c, sum, squares);
  }
}

template <class T>
void moments(const BatchNormProblem& p, const T* x, double* to, double* partial) {
  sum_statistics(p, x, MomentsFinish<T>{x, to, static_cast<double>(p.rows), p.C}, partial);
}

template <class T>
void merge(const BatchNormProblem& p, std::int64_t parts, const double* moments, double eps,
           double momentum, T* mean, T* inv_std, T* running_mean, T* running_var) {
  const ChannelFinish<T> finish{mean, inv_std, running_mean, running_var, eps, momentum};
  for (std::int64_t c = 0; c < p.C; ++c) {
    merge_moments(c, p.C, parts, moments, finish);
  }
}

/// NV vectors S of channels side by side.
template <class S, int NV>
struct ChannelVectors {};

/// Calls body(c, begin, end, ChannelVectors) for parts that cover X: those vectors from channel c
/// on, in the rows that are the elements [begin, end).
template <class T, class Body>
void for_channel_vectors(const BatchNormProblem& p, const Body& body) {
  using Full = CKS_CPU::Simd<T, CKS_CPU::kSimdBytes>;
  using Short = CKS_CPU::Simd<T, 16>;
  using One = CKS_CPU::Simd<T, sizeof(T)>;
  constexpr int kVectors = 64 / CKS_CPU::kSimdBytes;  // a line of the caches
  const std::int64_t C = p.C;
  parallel_for_ranges(p.rows, block_rows(p), [=](std::int64_t first, std::int64_t last) {
    std::int64_t c = 0;
    for (; c + kVectors * Full::width <= C; c += kVectors * Full::width) {
      body(c, first * C, last * C, ChannelVectors<Full, kVectors>{});
    }
    for (; c + Short::width <= C; c += Short::width) {
      body(c, first * C, last * C, ChannelVectors<Short, 1>{});
    }
    for (; c < C; ++c) {
      body(c, first * C, last * C, ChannelVectors<One, 1>{});
    }
  });
}

/// kHasResidual tells loops apart.
template <bool kHasResidual, class T>
void forward_all(const BatchNormProblem& p, const T* x, const T* mean, const T* inv_std,
                 const T* weight, const T* bias, const T* residual, T slope, T* y) {
  const std::int64_t C = p.C;
  for_channel_vectors<T>(p, [=]<class S, int NV>(std::int64_t c, std::int64_t begin,
                                                 std::int64_t end, ChannelVectors<S, NV>) {
    T center[NV * S::width];
    T scale[NV * S::width];
    T shift[NV * S::width];
    for (int i = 0; i < NV * S::width; ++i) {
      const auto one = forward_channel(c + i, mean, inv_std, weight, bias);
      center[i] = one.center;
      scale[i] = one.scale;
      shift[i] = one.shift;
    }
    ForwardChannel<typename S::Vec> channels[NV];
    for (int v = 0; v < NV; ++v) {
      const int i = v * S::width;
      channels[v] = {S::load(center + i), S::load(scale + i), S::load(shift + i)};
    }
    for (std::int64_t row = begin + c; row < end; row += C) {
      typename S::Vec values[NV];
      for (int v = 0; v < NV; ++v) {
        values[v] = channels[v](S::load(x + row + v * S::width));
        if constexpr (kHasResidual) {
          values[v] += S::load(residual + row + v * S::width);
        }
      }
      for (int v = 0; v < NV; ++v) {
        S::store(y + row + v * S::width, activated(values[v], slope));
      }
    }
  });
}

template <class T>
void forward(const BatchNormProblem& p, const T* x, const T* mean, const T* inv_std,
             const T* weight, const T* bias, const BatchNormEnd& end, T* y) {
  const auto* const residual = static_cast<const T*>(end.residual);
  const auto slope = static_cast<T>(end.slope);
  const auto compute = residual == nullptr ? forward_all<false, T> : forward_all<true, T>;
  compute(p, x, mean, inv_std, weight, bias, residual, slope, y);
}

/// The gradient behind the activation. Without one dY serves as the result, and its sign decides
/// between it and itself.
template <class T>
struct MaskedGradient {
  const T* dy;
  const T* y;
  T slope;

  MaskedGradient(const T* gradient, const BatchNormMask& mask)
      : dy(gradient),
        y(mask.y == nullptr ? gradient : static_cast<const T*>(mask.y)),
        slope(mask.y == nullptr ? T{1} : static_cast<T>(mask.slope)) {}
  T operator[](std::int64_t at) const { return masked(dy[at], y[at], slope); }
  template <class S>
  typename S::Vec load(std::int64_t at) const {
    return masked(S::load(dy + at), S::load(y + at), slope);
  }
};

/// dX[r,c] = weight * inv_std * (dY - sum(dY)/rows - xhat * sum(dY * xhat)/rows), the two sums
/// null for given statistics; xhat = (X - mean) * inv_std. With kHasResidual dY as well.
template <bool kHasResidual, class T>
void input_gradient(const BatchNormProblem& p, const T* x, const MaskedGradient<T>& dy,
                    const T* mean, const T* inv_std, const T* weight, double n, const double* sums,
                    T* dx, T* dresidual) {
  const std::int64_t C = p.C;
  for_channel_vectors<T>(p, [=]<class S, int NV>(std::int64_t c, std::int64_t begin,
                                                 std::int64_t end, ChannelVectors<S, NV>) {
    T center[NV * S::width];
    T scale[NV * S::width];
    T constant[NV * S::width];
    T slope[NV * S::width];
    for (int i = 0; i < NV * S::width; ++i) {
      const auto forth = forward_channel<T>(c + i, mean, inv_std, weight, nullptr);
      const auto one = backward_channel(c + i, C, forth, inv_std, sums, n);
      center[i] = one.center;
      scale[i] = one.scale;
      constant[i] = one.constant;
      slope[i] = one.slope;
    }
    BackwardChannel<typename S::Vec> channels[NV];
    for (int v = 0; v < NV; ++v) {
      const int i = v * S::width;
      channels[v] = {S::load(center + i), S::load(scale + i), S::load(constant + i),
                     S::load(slope + i)};
    }
    for (std::int64_t row = begin + c; row < end; row += C) {
      typename S::Vec gradients[NV];
      typename S::Vec values[NV];
      for (int v = 0; v < NV; ++v) {
        gradients[v] = dy.template load<S>(row + v * S::width);
        values[v] = channels[v](S::load(x + row + v * S::width), gradients[v]);
      }
      for (int v = 0; v < NV; ++v) {
        S::store(dx + row + v * S::width, values[v]);
        if constexpr (kHasResidual) {
          S::store(dresidual + row + v * S::width, gradients[v]);
        }
      }
    }
  });
}

/// dX and the residual's gradient, each unless null.
template <class T>
void input_gradients(const BatchNormProblem& p, const T* x, const MaskedGradient<T>& dy,
                     const T* mean, const T* inv_std, const T* weight, double n, const double* sums,
                     T* dx, T* dresidual) {
  if (dx != nullptr) {
    const auto compute = dresidual == nullptr ? input_gradient<false, T> : input_gradient<true, T>;
    compute(p, x, dy, mean, inv_std, weight, n, sums, dx, dresidual);
  } else if (dresidual != nullptr) {
    parallel_for_ranges(p.rows, block_rows(p), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin * p.C; at < end * p.C; ++at) {
        dresidual[at] = dy[at];
      }
    });
  }
}

/// sum(dY) and sum(dY * xhat) of each channel, into partial's first block.
template <class T>
void sum_gradients(const BatchNormProblem& p, const T* x, const MaskedGradient<T>& dy,
                   const T* mean, const T* inv_std, double* partial) {
  sum_blocks(p, partial, [&](std::int64_t c, auto channels) {
    constexpr int V = channels;
    struct Term {
      const T* x;
      MaskedGradient<T> dy;
      double center[V];
      double scale[V];
      void operator()(std::int64_t at, int v, double& sum, double& product) const {
        const auto gradient = static_cast<double>(dy[at]);
        sum += gradient;
        product += gradient * ((static_cast<double>(x[at]) - center[v]) * scale[v]);
      }
    };
    Term term{x, dy, {}, {}};
    for (int v = 0; v < V; ++v) {
      term.center[v] = static_cast<double>(mean[c + v]);
      term.scale[v] = static_cast<double>(inv_std[c + v]);
    }
    return term;
  });
  if (p.rows == 0) {
    std::fill(partial, partial + 2 * p.C, 0.0);
  }
  add_blocks(p, partial);
}

/// dbias and dweight, each unless null, from the sums.
template <class T>
void finish_gradients(const BatchNormProblem& p, const double* sums, T* dweight, T* dbias) {
  for (std::int64_t c = 0; c < p.C; ++c) {
    if (dbias != nullptr) {
      dbias[c] = static_cast<T>(sums[c]);
    }
    if (dweight != nullptr) {
      dweight[c] = static_cast<T>(sums[p.C + c]);
    }
  }
}

template <class T>
void backward(const BatchNormProblem& p, BatchNormMode mode, const T* x, const T* gradient,
              const T* mean, const T* inv_std, const T* weight, const BatchNormMask& mask, T* dx,
              T* dweight, T* dbias, double* partial) {
  const MaskedGradient<T> dy(gradient, mask);
  const bool needs_sums = dweight != nullptr || dbias != nullptr ||
                          (dx != nullptr && mode == BatchNormMode::batch_statistics);
  if (needs_sums) {
    sum_gradients(p, x, dy, mean, inv_std, partial);
  }
  finish_gradients(p, partial, dweight, dbias);
  input_gradients(p, x, dy, mean, inv_std, weight, static_cast<double>(p.rows),
                  mode == BatchNormMode::batch_statistics ? partial : nullptr, dx,
                  static_cast<T*>(mask.dresidual));
}

template <class T>
void gradient_sums(const BatchNormProblem& p, const T* x, const T* dy, const T* mean,
                   const T* inv_std, const BatchNormMask& mask, double* sums, T* dweight, T* dbias,
                   double* partial) {
  sum_gradients(p, x, MaskedGradient<T>(dy, mask), mean, inv_std, partial);
  std::copy(partial, partial + 2 * p.C, sums);
  sums[2 * p.C] = static_cast<double>(p.rows);
  finish_gradients(p, sums, dweight, dbias);
}

template <class T>
void shared_input_gradient(const BatchNormProblem& p, const T* x, const T* gradient, const T* mean,
                           const T* inv_std, const T* weight, const BatchNormMask& mask,
                           const double* sums, T* dx) {
  const MaskedGradient<T> dy(gradient, mask);
  input_gradients(p, x, dy, mean, inv_std, weight, sums[2 * p.C], sums, dx,
                  static_cast<T*>(mask.dresidual));
}

/// Calls body with the types of images and of channels.
template <class Body>
void visit_types(DType dtype, const Body& body) {
  visit_real("batch_norm", dtype, [&]<class T>(T) { body.template operator()<T, T>(); });
}

}  // namespace

namespace CKS_CPU {

std::size_t batch_norm_workspace_bytes(const BatchNormProblem& problem) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, block_count(problem)) * 2 * problem.C) *
         sizeof(double);
}

void batch_norm_inv_std(const BatchNormProblem& problem, double eps, const void* var,
                        void* inv_std) {
  visit_real("batch_norm", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t c = 0; c < problem.C; ++c) {
      static_cast<T*>(inv_std)[c] =
          static_cast<T>(inverse_std(static_cast<double>(static_cast<const T*>(var)[c]), eps));
    }
  });
}

#include "cks/kernels/batch_norm/entry_points_impl.h"

}  // namespace CKS_CPU
}  // namespace cks::kernels
