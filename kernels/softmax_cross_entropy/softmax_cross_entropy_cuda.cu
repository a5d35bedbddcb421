// Softmax and cross-entropy on a GPU: a row belongs to one warp, or to a whole block if it is long;
// of a loss of few and short rows to a thread. Sums run over the lanes in turn and are then added
// in a fixed tree.
#include <type_traits>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr std::int64_t kLongRow = 1024;  // from here on a block takes it

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// All lanes get the same bits: a butterfly adds the same pairs on both sides.
template <class T, class Op>
__device__ __forceinline__ T over_warp(T value, Op op) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = op(value, __shfl_xor_sync(0xffffffffU, value, distance));
  }
  return value;
}

/// Over all threads of a block; every thread gets the result. `shared` has an element a warp.
template <int kCount = kWarps, class T, class Op>
__device__ __forceinline__ T over_block(T value, Op op, T* shared) {
  value = over_warp(value, op);
  __syncthreads();  // an earlier result has been read
  if (threadIdx.x % kWarp == 0) {
    shared[threadIdx.x / kWarp] = value;
  }
  __syncthreads();
  value = shared[0];
  for (int warp = 1; warp < kCount; ++warp) {
    value = op(value, shared[warp]);
  }
  return value;
}

/// The threads that share a row: a warp or a block. A lane of a block adds up any number of
/// elements, and does so in float64; one of a warp at most kLongRow / kWarp.
template <class T, bool kBlockPerRow>
struct Team {
  using Sum = std::conditional_t<kBlockPerRow, double, T>;
  Sum* shared;
  static constexpr int kSize = kBlockPerRow ? kThreads : kWarp;
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kSize; }
  __device__ static std::int64_t first_row() {
    return kBlockPerRow ? static_cast<std::int64_t>(blockIdx.x)
                        : static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  }
  __device__ static std::int64_t row_step() {
    return static_cast<std::int64_t>(gridDim.x) * (kBlockPerRow ? 1 : kWarps);
  }
  template <class Op>
  __device__ Sum reduce(Sum value, Op op) const {
    if constexpr (kBlockPerRow) {
      return over_block(value, op, shared);
    } else {
      return over_warp(value, op);
    }
  }
};

/// X: of x, whose elements are computed with as T.
template <class T, bool kBlockPerRow, bool kLogarithm, class X = T>
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(std::int64_t rows, std::int64_t C, const X* x, T* y) {
  begin_kernel();
  using Threads = Team<T, kBlockPerRow>;
  __shared__ typename Threads::Sum shared[kWarps];
  const Threads team{shared};
  for (std::int64_t row = Threads::first_row(); row < rows; row += Threads::row_step()) {
    const auto from = [&, start = x + row * C](std::int64_t c) { return widen<T>(start[c]); };
    T* to = y + row * C;
    T largest = from(0);
    for (std::int64_t c = Threads::lane(); c < C; c += Threads::kSize) {
      largest = Larger{}(largest, from(c));
    }
    largest = static_cast<T>(team.reduce(largest, Larger{}));
    typename Threads::Sum lane_sum{0};
    for (std::int64_t c = Threads::lane(); c < C; c += Threads::kSize) {
      lane_sum += exponential(from(c) - largest);
    }
    const T sum = static_cast<T>(team.reduce(lane_sum, Add{}));
    const T log_sum = kLogarithm ? logarithm(sum) : T{0};
    for (std::int64_t c = Threads::lane(); c < C; c += Threads::kSize) {
      to[c] = kLogarithm ? from(c) - largest - log_sum : exponential(from(c) - largest) / sum;
    }
  }
}

template <class T, bool kBlockPerRow, bool kLogarithm>
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(std::int64_t rows, std::int64_t C, const T* y, const T* dy, T* dx) {
  begin_kernel();
  using Threads = Team<T, kBlockPerRow>;
  __shared__ typename Threads::Sum shared[kWarps];
  const Threads team{shared};
  for (std::int64_t row = Threads::first_row(); row < rows; row += Threads::row_step()) {
    const T* result = y + row * C;
    const T* gradient = dy + row * C;
    T* to = dx + row * C;
    typename Threads::Sum lane_sum{0};
    for (std::int64_t c = Threads::lane(); c < C; c += Threads::kSize) {
      lane_sum += kLogarithm ? gradient[c] : result[c] * gradient[c];
    }
    const T sum = static_cast<T>(team.reduce(lane_sum, Add{}));
    for (std::int64_t c = Threads::lane(); c < C; c += Threads::kSize) {
      to[c] =
          kLogarithm ? gradient[c] - exponential(result[c]) * sum : result[c] * (gradient[c] - sum);
    }
  }
}

/// What is not a number where the label names no class.
__device__ __forceinline__ double not_a_number() { return __longlong_as_double(-1LL); }

/// Loss of one row, without smoothing's share.
template <class T>
__device__ __forceinline__ double chosen_loss(const T* row, std::int64_t label, std::int64_t C) {
  return label >= 0 && label < C ? -static_cast<double>(row[label]) : not_a_number();
}

/// Of one row; a label that names no class makes the loss NaN anyway.
template <class T>
__device__ __forceinline__ T weight_of(const T* weights, std::int64_t label, std::int64_t C) {
  return weights != nullptr && label >= 0 && label < C ? weights[label] : static_cast<T>(1);
}

/// The mean of the rows that count, which are as many.
template <class T>
__device__ __forceinline__ void write_mean(double sum, double counted, T* loss, T* count) {
  *loss = counted == 0.0 ? T{0} : static_cast<T>(sum / counted);
  *count = static_cast<T>(counted);
}

/// Thread t of block b holds the loss of row b * kThreads + t; the block adds them. The only block
/// writes the mean; several write a sum and a count of rows each to `sums`.
template <class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(std::int64_t rows, std::int64_t C, double smoothing, std::int64_t ignored,
                         const T* log_probabilities, const std::int64_t* labels, const T* weights,
                         double* sums, T* loss, T* count) {
  begin_kernel();
  __shared__ double shared[kWarps];
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  double mine = 0.0;
  const bool counts = row < rows && labels[row] != ignored;
  if (counts) {
    mine = chosen_loss(log_probabilities + row * C, labels[row], C);
  }
  if (smoothing != 0.0) {  // 0 * infinity of an excluded class would be NaN
    double sum = 0.0;
    if (C <= kWarp) {
      for (std::int64_t c = 0; c < C && row < rows; ++c) {
        sum -= static_cast<double>(log_probabilities[row * C + c]);
      }
    } else {
      const int lane = static_cast<int>(threadIdx.x) % kWarp;
      const std::int64_t first = row - lane;
      for (int i = 0; i < kWarp && first + i < rows; ++i) {
        double part = 0.0;
        for (std::int64_t c = lane; c < C; c += kWarp) {
          part -= static_cast<double>(log_probabilities[(first + i) * C + c]);
        }
        part = over_warp(part, Add{});
        sum = lane == i ? part : sum;
      }
    }
    mine = (1.0 - smoothing) * mine + smoothing / static_cast<double>(C) * sum;
  }
  mine = counts ? mine * static_cast<double>(weight_of(weights, labels[row], C)) : 0.0;
  const double total = over_block(mine, Add{}, shared);
  const double counted = over_block(counts ? 1.0 : 0.0, Add{}, shared);
  if (threadIdx.x == 0) {
    if (gridDim.x == 1) {
      write_mean(total, counted, loss, count);
    } else {
      sums[blockIdx.x] = total;
      sums[gridDim.x + blockIdx.x] = counted;
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    mean_of_sums_kernel(std::int64_t blocks, const double* sums, T* loss, T* count) {
  begin_kernel();
  __shared__ double shared[kWarps];
  double sum = 0.0;
  double counted = 0.0;
  for (std::int64_t i = threadIdx.x; i < blocks; i += kThreads) {
    sum += sums[i];
    counted += sums[blocks + i];
  }
  sum = over_block(sum, Add{}, shared);
  counted = over_block(counted, Add{}, shared);
  if (threadIdx.x == 0) {
    write_mean(sum, counted, loss, count);
  }
}

constexpr int kFewRowsThreads = 1024;

/// All of it for few and short rows, each of which a thread takes: one block, one launch.
template <class X, class T>
__global__ void __launch_bounds__(kFewRowsThreads)
    few_rows_kernel(std::int64_t rows, int C, double smoothing, std::int64_t ignored,
                    const X* logits, const std::int64_t* labels, const T* weights,
                    T* log_probabilities, T* loss, T* count) {
  begin_kernel();
  __shared__ double shared[kFewRowsThreads / kWarp];
  double total = 0.0;
  double counted = 0.0;
  for (std::int64_t row = threadIdx.x; row < rows; row += kFewRowsThreads) {
    const std::int64_t label = labels[row];
    T value[kWarp];
    T largest = widen<T>(logits[row * C]);
#pragma unroll
    for (int c = 0; c < kWarp; ++c) {
      if (c < C) {
        value[c] = widen<T>(logits[row * C + c]);
        largest = Larger{}(largest, value[c]);
      }
    }
    T sum{0};
#pragma unroll
    for (int c = 0; c < kWarp; ++c) {
      sum += c < C ? exponential(value[c] - largest) : T{0};
    }
    const T log_sum = logarithm(sum);
    double mine = not_a_number();  // where the label names no class
    double all = 0.0;
#pragma unroll
    for (int c = 0; c < kWarp; ++c) {
      if (c < C) {
        const T result = value[c] - largest - log_sum;
        log_probabilities[row * C + c] = result;
        mine = c == label ? -static_cast<double>(result) : mine;
        all -= static_cast<double>(result);
      }
    }
    if (smoothing != 0.0) {  // 0 * infinity of an excluded class would be NaN
      mine = (1.0 - smoothing) * mine + smoothing / static_cast<double>(C) * all;
    }
    if (label != ignored) {
      total += mine * static_cast<double>(weight_of(weights, label, C));
      counted += 1.0;
    }
  }
  total = over_block<kFewRowsThreads / kWarp>(total, Add{}, shared);
  counted = over_block<kFewRowsThreads / kWarp>(counted, Add{}, shared);
  if (threadIdx.x == 0) {
    write_mean(total, counted, loss, count);
  }
}

template <class X, class T>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_kernel(std::int64_t rows, std::int64_t C, T other, T chosen,
                                  std::int64_t ignored, const T* log_probabilities,
                                  const std::int64_t* labels, const T* weights, const T* count,
                                  const T* grad_loss, X* dx) {
  begin_kernel();
  const T scale = *grad_loss / *count;  // of no use where all rows are ignored
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       i < rows * C; i += stride) {
    const std::int64_t row = i / C;
    const std::int64_t label = labels[row];
    const T target = i - row * C == label ? chosen + other : other;
    const bool known = label >= 0 && label < C;
    T gradient{0};
    if (label != ignored) {
      gradient = known ? scale * weight_of(weights, label, C) *
                             (exponential(log_probabilities[i]) - target)
                       : static_cast<T>(not_a_number());
    }
    dx[i] = narrowed<X>(gradient);
  }
}

/// Launches the one of two kernels whose teams suit the rows: warps or blocks.
template <class... Parameters, class... Arguments>
void launch_rows(const char* operation, const SoftmaxProblem& problem,
                 void (*by_warps)(std::int64_t, std::int64_t, Parameters...),
                 void (*by_blocks)(std::int64_t, std::int64_t, Parameters...),
                 Arguments... arguments) {
  if (problem.rows == 0 || problem.C == 0) {
    return;
  }
  const bool is_short = problem.C < kLongRow;
  launch(operation, is_short ? by_warps : by_blocks, grid_for(problem.rows, is_short ? kWarps : 1),
         kThreads, 0, problem.rows, problem.C, arguments...);
}

/// Calls body(X, T) with the types of logits and of the rest.
template <class Body>
void visit_losses(const CrossEntropyProblem& problem, const Body& body) {
  if (problem.narrow_logits) {
    body(bfloat16{}, float{});
  } else {
    visit_real("cross_entropy", problem.dtype, [&]<class T>(T zero) { body(zero, zero); });
  }
}

}  // namespace

void softmax_forward(const SoftmaxProblem& problem, bool is_log, const void* x, void* y) {
  const auto run = [&]<class T>(const T* from, T* to) {
    launch_rows(softmax_name(is_log), problem,
                is_log ? softmax_kernel<T, false, true> : softmax_kernel<T, false, false>,
                is_log ? softmax_kernel<T, true, true> : softmax_kernel<T, true, false>, from, to);
  };
  visit_real_elements(softmax_name(is_log), problem.dtype, run, x, y);
}

void softmax_backward(const SoftmaxProblem& problem, bool is_log, const void* y, const void* dy,
                      void* dx) {
  const auto run = [&]<class T>(const T* result, const T* gradient, T* to) {
    launch_rows(
        softmax_name(is_log), problem,
        is_log ? softmax_backward_kernel<T, false, true> : softmax_backward_kernel<T, false, false>,
        is_log ? softmax_backward_kernel<T, true, true> : softmax_backward_kernel<T, true, false>,
        result, gradient, to);
  };
  visit_real_elements(softmax_name(is_log), problem.dtype, run, y, dy, dx);
}

void cross_entropy_forward(const CrossEntropyProblem& problem, const void* logits,
                           void* log_probabilities, const std::int64_t* labels, void* loss,
                           void* count, void* workspace, const void* class_weights) {
  visit_losses(problem, [&]<class X, class T>(X, T) {
    const auto* const from = static_cast<const X*>(logits);
    const auto* const weights = static_cast<const T*>(class_weights);
    auto* const logarithms = static_cast<T*>(log_probabilities);
    auto* const mean = static_cast<T*>(loss);
    auto* const counted = static_cast<T*>(count);
    if (problem.rows <= kFewRowsThreads && problem.C <= kWarp) {
      return launch("cross_entropy", few_rows_kernel<X, T>, 1, kFewRowsThreads, 0, problem.rows,
                    static_cast<int>(problem.C), problem.label_smoothing, problem.ignored_label,
                    from, labels, weights, logarithms, mean, counted);
    }
    launch_rows("cross_entropy", problem, softmax_kernel<T, false, true, X>,
                softmax_kernel<T, true, true, X>, from, logarithms);
    // A sum and a count a block, of the one double a row that the workspace has.
    const std::int64_t blocks = ceil_div(problem.rows, kThreads);
    auto* sums = static_cast<double*>(workspace);
    launch("cross_entropy", cross_entropy_kernel<T>, static_cast<unsigned>(blocks), kThreads, 0,
           problem.rows, problem.C, problem.label_smoothing, problem.ignored_label, logarithms,
           labels, weights, sums, mean, counted);
    if (blocks > 1) {
      launch("cross_entropy", mean_of_sums_kernel<T>, 1, kThreads, 0, blocks, sums, mean, counted);
    }
  });
}

void cross_entropy_backward(const CrossEntropyProblem& problem, const void* log_probabilities,
                            const std::int64_t* labels, const void* count, const void* grad_loss,
                            void* dx, const void* class_weights) {
  visit_losses(problem, [&]<class X, class T>(X, T) {
    launch("cross_entropy", cross_entropy_backward_kernel<X, T>,
           grid_for(problem.rows * problem.C, kThreads), kThreads, 0, problem.rows, problem.C,
           static_cast<T>(problem.label_smoothing / static_cast<double>(problem.C)),
           static_cast<T>(1.0 - problem.label_smoothing), problem.ignored_label,
           static_cast<const T*>(log_probabilities), labels, static_cast<const T*>(class_weights),
           static_cast<const T*>(count), static_cast<const T*>(grad_loss), static_cast<X*>(dx));
  });
}

}  // namespace cks::kernels::cuda
