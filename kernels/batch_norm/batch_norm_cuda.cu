// Batch normalisation on a GPU; row_sums.cuh says how work is cut.
#include <algorithm>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/batch_norm/row_sums.cuh"

namespace cks::kernels::cuda {
namespace {

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(std::int64_t rows, std::int64_t C, std::int64_t channel_blocks,
                   const T* __restrict__ x, const T* __restrict__ mean,
                   const T* __restrict__ inv_std, const T* __restrict__ weight,
                   const T* __restrict__ bias, T* __restrict__ y) {
  begin_kernel();
  const Work work = work_of(rows, channel_blocks, V);
  if (work.c >= C) {
    return;
  }
  ForwardChannel<T> channel[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const std::int64_t c = work.c + v;
    channel[v] = {mean[c], weight == nullptr ? inv_std[c] : inv_std[c] * weight[c],
                  bias == nullptr ? T{0} : bias[c]};
  }
#pragma unroll 4
  for (std::int64_t row = work.begin; row < work.end; row += work.step) {
    Pack<T, V> value = load_pack<V>(x + row * C + work.c);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      value[v] = channel[v](value[v]);
    }
    store_pack<V>(y + row * C + work.c, value);
  }
}

/// `sums` is null for given statistics; `shared_rows`, unless null, those of all ranks.
template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    input_gradient_kernel(std::int64_t rows, std::int64_t C, std::int64_t channel_blocks,
                          const T* __restrict__ x, const T* __restrict__ dy,
                          const T* __restrict__ mean, const T* __restrict__ inv_std,
                          const T* __restrict__ weight, const double* __restrict__ sums,
                          const double* __restrict__ shared_rows, T* __restrict__ dx) {
  begin_kernel();
  const Work work = work_of(rows, channel_blocks, V);
  if (work.c >= C) {
    return;
  }
  const double n = shared_rows != nullptr ? *shared_rows : static_cast<double>(rows);
  BackwardChannel<T> channel[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const std::int64_t c = work.c + v;
    channel[v] = {mean[c], weight == nullptr ? inv_std[c] : inv_std[c] * weight[c], T{0}, T{0}};
    if (sums != nullptr) {
      channel[v].constant = static_cast<T>(sums[c] / n);
      channel[v].slope = static_cast<T>(sums[C + c] / n) * inv_std[c];
    }
  }
#pragma unroll 4
  for (std::int64_t row = work.begin; row < work.end; row += work.step) {
    const Pack<T, V> value = load_pack<V>(x + row * C + work.c);
    Pack<T, V> gradient = load_pack<V>(dy + row * C + work.c);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      gradient[v] = channel[v](value[v], gradient[v]);
    }
    store_pack<V>(dx + row * C + work.c, gradient);
  }
}

template <class T>
__global__ void inv_std_kernel(std::int64_t C, double eps, const T* var, T* inv_std) {
  begin_kernel();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < C;
       c += stride) {
    inv_std[c] = static_cast<T>(inverse_std(static_cast<double>(var[c]), eps));
  }
}

/// Blocks of the element-wise kernels: about kBatch rows a thread.
unsigned element_blocks(const BatchNormProblem& p, const Cut& cut) {
  const std::int64_t row_blocks = ceil_div(p.rows, cut.rows * kBatch);
  const std::int64_t most = std::max<std::int64_t>(1, kMaxGrid / cut.channel_blocks);
  return static_cast<unsigned>(std::min(row_blocks, most) * cut.channel_blocks);
}

template <class T>
__global__ void merge_kernel(std::int64_t C, std::int64_t parts, const double* moments,
                             const __grid_constant__ ChannelFinish<T> finish) {
  begin_kernel();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < C;
       c += stride) {
    merge_moments(c, C, parts, moments, finish);
  }
}

__global__ void rows_kernel(double rows, double* to) {
  begin_kernel();
  *to = rows;
}

template <class T, class Finish>
void sum_statistics(const BatchNormProblem& p, const T* x, const Finish& finish, double* partial) {
  with_channels<T>(p.C, aligned_for_packs(x), [&](auto V) {
    sum_rows(p, StatisticsTerms<T, V>{x, p.C}, finish, partial);
  });
}

template <class T>
void statistics(const BatchNormProblem& p, double eps, double momentum, const T* x, T* mean,
                T* inv_std, T* running_mean, T* running_var, double* partial) {
  const StatisticsFinish<T> finish{
      x, {mean, inv_std, running_mean, running_var, eps, momentum}, static_cast<double>(p.rows)};
  sum_statistics(p, x, finish, partial);
}

template <class T>
void moments(const BatchNormProblem& p, const T* x, double* to, double* partial) {
  sum_statistics(p, x, MomentsFinish<T>{x, to, static_cast<double>(p.rows), p.C}, partial);
}

template <class T>
void merge(const BatchNormProblem& p, std::int64_t parts, const double* moments, double eps,
           double momentum, T* mean, T* inv_std, T* running_mean, T* running_var) {
  const ChannelFinish<T> finish{mean, inv_std, running_mean, running_var, eps, momentum};
  launch("batch_norm", merge_kernel<T>, grid_for(p.C, kThreads), kThreads, 0, p.C, parts, moments,
         finish);
}

template <class T>
void forward(const BatchNormProblem& p, const T* x, const T* mean, const T* inv_std,
             const T* weight, const T* bias, T* y) {
  if (p.rows == 0 || p.C == 0) {
    return;
  }
  with_channels<T>(p.C, aligned_for_packs(x, y), [&](auto V) {
    const Cut cut = cut_of(p, V);
    launch("batch_norm", forward_kernel<T, V>, element_blocks(p, cut),
           dim3(static_cast<unsigned>(cut.columns), static_cast<unsigned>(cut.rows)), 0, p.rows,
           p.C, cut.channel_blocks, x, mean, inv_std, weight, bias, y);
  });
}

template <class T>
void sum_gradients(const BatchNormProblem& p, const T* x, const T* dy, const T* mean,
                   const T* inv_std, const GradientFinish<T>& finish, double* partial) {
  if (p.C > 0) {
    with_channels<T>(p.C, aligned_for_packs(x, dy, mean, inv_std), [&](auto V) {
      sum_rows(p, GradientTerms<T, V>{x, dy, mean, inv_std, p.C}, finish, partial);
    });
  }
}

/// `sums` and `shared_rows` as the kernel takes them.
template <class T>
void input_gradient(const BatchNormProblem& p, const T* x, const T* dy, const T* mean,
                    const T* inv_std, const T* weight, const double* sums,
                    const double* shared_rows, T* dx) {
  if (p.rows == 0 || p.C == 0) {
    return;
  }
  with_channels<T>(p.C, aligned_for_packs(x, dy, dx), [&](auto V) {
    const Cut cut = cut_of(p, V);
    launch("batch_norm", input_gradient_kernel<T, V>, element_blocks(p, cut),
           dim3(static_cast<unsigned>(cut.columns), static_cast<unsigned>(cut.rows)), 0, p.rows,
           p.C, cut.channel_blocks, x, dy, mean, inv_std, weight, sums, shared_rows, dx);
  });
}

template <class T>
void backward(const BatchNormProblem& p, BatchNormMode mode, const T* x, const T* dy, const T* mean,
              const T* inv_std, const T* weight, T* dx, T* dweight, T* dbias, double* partial) {
  const bool through_statistics = mode == BatchNormMode::batch_statistics;
  if (dweight != nullptr || dbias != nullptr || (dx != nullptr && through_statistics)) {
    sum_gradients(p, x, dy, mean, inv_std, GradientFinish<T>{dweight, dbias, partial, p.C},
                  partial);
  }
  if (dx != nullptr) {
    input_gradient(p, x, dy, mean, inv_std, weight, through_statistics ? partial : nullptr, nullptr,
                   dx);
  }
}

template <class T>
void gradient_sums(const BatchNormProblem& p, const T* x, const T* dy, const T* mean,
                   const T* inv_std, double* sums, T* dweight, T* dbias, double* partial) {
  sum_gradients(p, x, dy, mean, inv_std, GradientFinish<T>{dweight, dbias, sums, p.C}, partial);
  launch("batch_norm", rows_kernel, 1U, 1, 0, static_cast<double>(p.rows), sums + 2 * p.C);
}

template <class T>
void shared_input_gradient(const BatchNormProblem& p, const T* x, const T* dy, const T* mean,
                           const T* inv_std, const T* weight, const double* sums, T* dx) {
  input_gradient(p, x, dy, mean, inv_std, weight, sums, sums + 2 * p.C, dx);
}

}  // namespace

std::size_t batch_norm_workspace_bytes(const BatchNormProblem& problem) {
  // Whichever packs the addresses allow.
  const std::int64_t row_blocks =
      std::max({cut_of(problem, 1).row_blocks, cut_of(problem, kPackSize<float>).row_blocks,
                cut_of(problem, kPackSize<double>).row_blocks});
  return static_cast<std::size_t>(row_blocks * 2 * problem.C) * sizeof(double);
}

void batch_norm_inv_std(const BatchNormProblem& problem, double eps, const void* var,
                        void* inv_std) {
  visit_real("batch_norm", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("batch_norm", inv_std_kernel<T>, grid_for(problem.C, kThreads), kThreads, 0, problem.C,
           eps, static_cast<const T*>(var), static_cast<T*>(inv_std));
  });
}

#include "cks/kernels/batch_norm/entry_points_impl.h"

}  // namespace cks::kernels::cuda
