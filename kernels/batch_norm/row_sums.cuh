#pragma once
#include <algorithm>
#include <cstdint>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/batch_norm/formulas_impl.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"

/// How batch normalisation's kernels cut rows and channels, and their sums over rows.
///
/// A block takes neighbouring channels, its columns of threads V of them each, and a stretch of
/// rows, which its rows of threads take in turn. A warp then reads whole neighbouring rows where
/// there are few channels.
///
/// Sums over rows come in two stages: each block writes its two sums per channel, and a second
/// kernel adds the blocks in order and finishes the channel; a single block finishes at once.
/// Within a thread the channels' type adds up a batch of kBatch rows, squares around the batch's
/// own mean, and float64 adds up the batches: the float64 units of small GPUs keep up with memory,
/// and nothing cancels.
namespace cks::kernels::cuda {

constexpr int kThreads = 256;
constexpr int kBatch = 8;                     // rows of a thread whose loads are in flight
constexpr std::int64_t kMaxRowBlocks = 512;   // of sums
constexpr std::int64_t kWantedBlocks = 1024;  // of sums, over all channels
constexpr std::int64_t kMaxGrid = 1LL << 30;
constexpr int kFinishChannels = 32, kFinishRows = 32;

/// How a problem is cut; by the problem alone.
struct Cut {
  int columns, rows;            // threads of a block
  std::int64_t channel_blocks;  // blocks over the channels
  std::int64_t row_blocks;      // blocks of sums over the rows
};

inline Cut cut_of(const BatchNormProblem& p, int V) {
  const std::int64_t packs = ceil_div(p.C, V);
  Cut cut{1, 0, 0, 0};
  while (cut.columns < 32 && cut.columns < packs) {
    cut.columns *= 2;
  }
  cut.rows = kThreads / cut.columns;
  cut.channel_blocks = ceil_div(packs, cut.columns);
  const std::int64_t most = std::clamp<std::int64_t>(
      ceil_div(kWantedBlocks, std::max<std::int64_t>(1, cut.channel_blocks)), 1, kMaxRowBlocks);
  cut.row_blocks = std::clamp<std::int64_t>(ceil_div(p.rows, cut.rows * kBatch), 1, most);
  return cut;
}

/// Where a thread works: its first channel, and the rows begin, begin + step, ... below end.
struct Work {
  std::int64_t c;
  std::int64_t begin, end, step;
};

/// Rows of block `block` of `blocks`, a thread's share.
__device__ __forceinline__ Work work_of(std::int64_t rows, std::int64_t channel_blocks, int V) {
  const std::int64_t channel_block = blockIdx.x % channel_blocks;
  const std::int64_t row_block = blockIdx.x / channel_blocks;
  const std::int64_t row_blocks = gridDim.x / channel_blocks;
  const std::int64_t stretch = ceil_div(rows, row_blocks);
  const std::int64_t begin = row_block * stretch;
  const std::int64_t stop = begin + stretch;
  return {(channel_block * blockDim.x + threadIdx.x) * V, begin + threadIdx.y,
          stop < rows ? stop : rows, static_cast<std::int64_t>(blockDim.y)};
}

/// The two sums of each of V channels.
template <int V>
struct Sums {
  double first[V] = {};
  double second[V] = {};
};

/// sum(x - shift) and sum((x - shift)^2), shift being the channel's first element.
template <class X, class T, int V>
struct StatisticsTerms {
  static constexpr int kChannels = V;
  const X* x;
  std::int64_t C;

  __device__ void operator()(const Work& work, Sums<V>& sums) const {
    const Pack<X, V> shift = load_pack<V>(x + work.c);
    for (std::int64_t row = work.begin; row < work.end; row += kBatch * work.step) {
      Pack<X, V> value[kBatch];
      int count = 0;  // at least 1
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const std::int64_t r = row + i * work.step;
        value[i] = r < work.end ? load_pack<V>(x + r * C + work.c) : shift;
        count += r < work.end ? 1 : 0;
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T shifted[kBatch];
        T sum{0};
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          shifted[i] = widen<T>(value[i][v]) - widen<T>(shift[v]);  // 0 beyond the end
          sum += shifted[i];
        }
        const T mean = sum / static_cast<T>(count);
        T squares{0};
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          const T difference = i < count ? shifted[i] - mean : T{0};
          squares += difference * difference;
        }
        // sum((x - shift)^2) = sum((x - shift - mean)^2) + (2 * sum - count * mean) * mean, for any
        // mean.
        const auto wide_sum = static_cast<double>(sum);
        const auto wide_mean = static_cast<double>(mean);
        sums.first[v] += wide_sum;
        sums.second[v] += static_cast<double>(squares) +
                          (2.0 * wide_sum - static_cast<double>(count) * wide_mean) * wide_mean;
      }
    }
  }
};

/// sum(dY) and sum(dY * xhat), dY masked by y if kMasked.
template <bool kMasked, class X, class T, int V>
struct GradientTerms {
  static constexpr int kChannels = V;
  const X* x;
  const X* dy;
  const X* y;
  T slope;
  const T* mean;
  const T* inv_std;
  std::int64_t C;

  __device__ void operator()(const Work& work, Sums<V>& sums) const {
    T center[V];
    T scale[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      center[v] = mean[work.c + v];
      scale[v] = inv_std[work.c + v];
    }
    for (std::int64_t row = work.begin; row < work.end; row += kBatch * work.step) {
      Pack<X, V> value[kBatch];
      Pack<X, V> gradient[kBatch];
      Pack<X, V> result[kMasked ? kBatch : 1];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const std::int64_t r = row + i * work.step;
        const std::int64_t at = r * C + work.c;
        const bool inside = r < work.end;
        value[i] = inside ? load_pack<V>(x + at) : Pack<X, V>{};
        gradient[i] = inside ? load_pack<V>(dy + at) : Pack<X, V>{};  // 0: what it meets is lost
        if constexpr (kMasked) {
          result[i] = inside ? load_pack<V>(y + at) : Pack<X, V>{};
        }
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T sum{0};
        T product{0};
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          T term = widen<T>(gradient[i][v]);
          if constexpr (kMasked) {
            term = masked(term, widen<T>(result[i][v]), slope);
          }
          sum += term;
          product += term * (widen<T>(value[i][v]) - center[v]);
        }
        sums.first[v] += static_cast<double>(sum);
        sums.second[v] += static_cast<double>(product) * static_cast<double>(scale[v]);
      }
    }
  }
};

/// dbias and dweight of channel c, and the sums themselves for the input gradient.
template <class T>
struct GradientFinish {
  T* dweight;
  T* dbias;
  double* sums;
  std::int64_t C;

  __device__ void operator()(std::int64_t c, double sum, double product) const {
    sums[c] = sum;
    sums[C + c] = product;
    if (dbias != nullptr) {
      dbias[c] = static_cast<T>(sum);
    }
    if (dweight != nullptr) {
      dweight[c] = static_cast<T>(product);
    }
  }
};

/// First stage; partial is [row block][2][C].
template <class Terms, class Finish>
__global__ void __launch_bounds__(kThreads)
    sum_rows_kernel(const __grid_constant__ Terms terms, const __grid_constant__ Finish finish,
                    std::int64_t rows, std::int64_t C, std::int64_t channel_blocks,
                    double* partial) {
  begin_kernel();
  constexpr int V = Terms::kChannels;
  __shared__ double shared[2][kThreads * V];
  const Work work = work_of(rows, channel_blocks, V);
  Sums<V> sums;
  if (work.c < C) {
    terms(work, sums);
  }
  const int width = static_cast<int>(blockDim.x) * V;
  const int at = static_cast<int>(threadIdx.y) * width + static_cast<int>(threadIdx.x) * V;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    shared[0][at + v] = sums.first[v];
    shared[1][at + v] = sums.second[v];
  }
  // Halves of the rows of threads are added, in a fixed tree.
  for (int half = static_cast<int>(blockDim.y) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < half) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        shared[0][at + v] += shared[0][at + v + half * width];
        shared[1][at + v] += shared[1][at + v + half * width];
      }
    }
  }
  if (threadIdx.y != 0 || work.c >= C) {
    return;
  }
  const bool alone = static_cast<std::int64_t>(gridDim.x) == channel_blocks;
  double* to = partial + blockIdx.x / channel_blocks * 2 * C + work.c;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    if (alone) {
      finish(work.c + v, shared[0][at + v], shared[1][at + v]);
    } else {
      to[v] = shared[0][at + v];
      to[C + v] = shared[1][at + v];
    }
  }
}

/// Second stage: adds the row blocks of each channel, kFinishRows of them in turn, then in order.
template <class Finish>
__global__ void __launch_bounds__(kFinishChannels* kFinishRows)
    add_row_blocks_kernel(const __grid_constant__ Finish finish, std::int64_t C,
                          std::int64_t row_blocks, const double* partial) {
  begin_kernel();
  __shared__ double shared[2][kFinishRows][kFinishChannels];
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kFinishChannels + threadIdx.x;
  double sum = 0.0;
  double product = 0.0;
  if (c < C) {
#pragma unroll 4
    for (std::int64_t block = threadIdx.y; block < row_blocks; block += kFinishRows) {
      sum += partial[block * 2 * C + c];
      product += partial[block * 2 * C + C + c];
    }
  }
  shared[0][threadIdx.y][threadIdx.x] = sum;
  shared[1][threadIdx.y][threadIdx.x] = product;
  __syncthreads();  // from here on finish may write where partial lies: other blocks' channels stay
  if (threadIdx.y == 0 && c < C) {
    for (int i = 1; i < kFinishRows; ++i) {
      sum += shared[0][i][threadIdx.x];
      product += shared[1][i][threadIdx.x];
    }
    finish(c, sum, product);
  }
}

template <class Terms, class Finish>
void sum_rows(const BatchNormProblem& p, const Terms& terms, const Finish& finish,
              double* partial) {
  const Cut cut = cut_of(p, Terms::kChannels);
  launch("batch_norm", sum_rows_kernel<Terms, Finish>,
         static_cast<unsigned>(cut.channel_blocks * cut.row_blocks),
         dim3(static_cast<unsigned>(cut.columns), static_cast<unsigned>(cut.rows)), 0, terms,
         finish, p.rows, p.C, cut.channel_blocks, partial);
  if (cut.row_blocks > 1) {
    launch("batch_norm", add_row_blocks_kernel<Finish>,
           static_cast<unsigned>(ceil_div(p.C, kFinishChannels)),
           dim3(kFinishChannels, kFinishRows), 0, finish, p.C, cut.row_blocks, partial);
  }
}

}  // namespace cks::kernels::cuda
