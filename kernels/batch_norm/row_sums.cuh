#pragma once
#include <algorithm>
#include <cstdint>

#include "cks/kernels/batch_norm/batch_norm.h"
#include "cks/kernels/batch_norm/formulas_impl.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"

/// How batch normalisation's kernels cut rows and channels, and their sums over rows.
///
/// A block takes neighbouring channels, its columns of threads V of them each, and chunks of rows,
/// of which each of its threads loads the next batch while it computes one. A warp then reads whole
/// neighbouring rows where there are few channels.
///
/// Sums over rows come in two stages: each block writes its two sums per channel, and a second
/// kernel adds the blocks in order and finishes the channel; a single block finishes at once.
/// Within a batch of a thread the channels' type adds up, squares of wide types around the batch's
/// own mean, and float64 adds up the batches: the float64 units of small GPUs keep up with memory,
/// and nothing cancels. Sums that a convolution has left go through the second stage alone. Sums
/// run from the last row to the first, whatever comes before and after them from the first to the
/// last, so that each finds in the second cache what was read last.
namespace cks::kernels::cuda {

constexpr int kThreads = 256;
constexpr int kMostChannels = 4;             // of a thread: more would leave no room for others
constexpr int kLeastRows = 8;                // of a thread of sums
constexpr int kBatchBytes = 64;              // of a thread, whose loads are in flight
constexpr int kResident = 3;                 // blocks on a multiprocessor
constexpr std::int64_t kWantedBlocks = 396;  // all of them run at once on a large GPU
constexpr int kFinishChannels = 8, kFinishRows = 32;

/// How a problem is cut; by the problem alone.
struct Cut {
  int columns, rows;            // threads of a block
  std::int64_t channel_blocks;  // blocks over the channels
  std::int64_t row_blocks;      // blocks over the rows
};

/// batch: rows of a thread at least.
inline Cut cut_of(const BatchNormProblem& p, int V, int batch) {
  const std::int64_t packs = ceil_div(p.C, V);
  Cut cut{1, 0, 0, 0};
  while (cut.columns < 32 && cut.columns < packs) {
    cut.columns *= 2;
  }
  cut.rows = kThreads / cut.columns;
  cut.channel_blocks = ceil_div(packs, cut.columns);
  const std::int64_t most =
      std::max<std::int64_t>(1, kWantedBlocks / std::max<std::int64_t>(1, cut.channel_blocks));
  cut.row_blocks = std::clamp<std::int64_t>(ceil_div(p.rows, cut.rows * batch), 1, most);
  return cut;
}

/// Rows of a batch of so many tensors.
template <class X, int V>
constexpr int batch_of(int tensors) {
  const int bytes = tensors * V * static_cast<int>(sizeof(X));
  return bytes > kBatchBytes ? 1 : (bytes < kBatchBytes / 8 ? 8 : kBatchBytes / bytes);
}

/// A thread's first channel.
template <int V>
__device__ __forceinline__ std::int64_t channel_of(std::int64_t channel_blocks) {
  return (blockIdx.x % channel_blocks * blockDim.x + threadIdx.x) * V;
}

/// V elements in as few registers as they take, where they wait for their turn. (A Pack of bfloat16
/// takes a register for each.)
template <class X, int V>
struct Waiting {
  using Word = std::conditional_t<sizeof(X) * V % 4 == 0, std::uint32_t, X>;
  Pack<Word, static_cast<int>(sizeof(X) * V / sizeof(Word))> words;

  template <class T>
  __device__ __forceinline__ T element(int v) const {
    if constexpr (std::is_same_v<X, bfloat16> && V % 2 == 0) {
      return __uint_as_float(v % 2 == 0 ? words[v / 2] << 16 : words[v / 2] & 0xffff0000U);
    } else {
      return widen<T>(__builtin_bit_cast(Pack<X, V>, words)[v]);
    }
  }
};

/// The batch of a thread in rows [first, ...) of `step`, at its channels; `fill` beyond the last.
template <int kRows, class Elements, class X>
__device__ __forceinline__ void load_rows(Elements (&to)[kRows], const X* from, std::int64_t first,
                                          std::int64_t rows, std::int64_t C, const Elements& fill) {
  const std::int64_t step = blockDim.y;
  const X* at = from + first * C;
  if (first + (kRows - 1) * step < rows) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      to[i] = *reinterpret_cast<const Elements*>(at + i * step * C);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      to[i] =
          first + i * step < rows ? *reinterpret_cast<const Elements*>(at + i * step * C) : fill;
    }
  }
}

/// The other way.
template <int kRows, int V, class X>
__device__ __forceinline__ void store_rows(X* to, const Pack<X, V> (&from)[kRows],
                                           std::int64_t first, std::int64_t rows, std::int64_t C) {
  const std::int64_t step = blockDim.y;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    if (first + i * step < rows) {
      store_pack<V>(to + (first + i * step) * C, from[i]);
    }
  }
}

/// Which chunks of kRows * blockDim.y rows a block of sums takes, and its threads in them.
struct Chunks {
  std::int64_t rows;
  std::int64_t block, blocks;  // over the rows

  /// Calls load(batch, first) with the first row of the thread in each chunk, the last chunk first,
  /// and then body(batch, first), while the next batch is on its way.
  template <class Batch, class Load, class Body>
  __device__ __forceinline__ void descend(const Load& load, const Body& body) const {
    const std::int64_t height = Batch::kRows * static_cast<std::int64_t>(blockDim.y);
    std::int64_t first = (ceil_div(rows, height) - 1 - block) * height + threadIdx.y;
    if (first >= rows) {
      first -= blocks * height;  // the last chunk ends before the thread
    }
    Batch next;
    if (first >= 0) {
      load(next, first);
    }
    while (first >= 0) {
      const Batch batch = next;
      const std::int64_t after = first - blocks * height;
      if (after >= 0) {
        load(next, after);
      }
      body(batch, first);
      first = after;
    }
  }
};

/// The two sums of each of V channels.
template <int V>
struct Sums {
  double first[V] = {};
  double second[V] = {};
};

/// sum(x - shift) and sum((x - shift)^2), shift being the channel's first element.
template <class X, class T, int V>
struct StatisticsTerms {
  static constexpr int kChannels = V, kRows = batch_of<X, V>(1);
  const X* x;
  std::int64_t rows, C;

  struct Batch {
    static constexpr int kRows = StatisticsTerms::kRows;
    Waiting<X, V> value[kRows];
  };

  __device__ void operator()(std::int64_t c, const Chunks& chunks, Sums<V>& sums) const {
    const auto shift = *reinterpret_cast<const Waiting<X, V>*>(x + c);
    const auto load = [&](Batch& batch, std::int64_t first) {
      load_rows(batch.value, x + c, first, rows, C, shift);
    };
    chunks.descend<Batch>(load, [&](const Batch& batch, std::int64_t first) {
      const auto& value = batch.value;
      const std::int64_t left = ceil_div(rows - first, static_cast<std::int64_t>(blockDim.y));
      const int count = left < kRows ? static_cast<int>(left) : kRows;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T shifted[kRows];
        T sum{0};
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          // 0 beyond the end
          shifted[i] = value[i].template element<T>(v) - shift.template element<T>(v);
          sum += shifted[i];
        }
        // Squares of narrow types lose less than these do themselves; wide ones are taken around
        // the batch's mean.
        constexpr bool kIsWide = sizeof(X) == sizeof(T);
        const T mean = kIsWide ? sum / static_cast<T>(count) : T{0};
        T squares{0};
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const T difference = kIsWide && i >= count ? T{0} : shifted[i] - mean;
          squares += difference * difference;
        }
        sums.first[v] += static_cast<double>(sum);
        sums.second[v] += static_cast<double>(squares);
        if constexpr (kIsWide) {
          // sum((x - shift)^2) = sum((x - shift - mean)^2) + (2 * sum - count * mean) * mean, for
          // any mean.
          const auto wide = static_cast<double>(mean);
          sums.second[v] +=
              (2.0 * static_cast<double>(sum) - static_cast<double>(count) * wide) * wide;
        }
      }
    });
  }
};

/// Whether an activation masks dY, and where the sign of its result comes from.
enum class Masking { none, by_result, by_input };

/// sum(dY) and sum(dY * (x - mean)), of dY as masked, which is written where the residual's
/// gradient is wanted. kTwoTerms: dY is the sum of dy and dy_term, and written.
template <Masking kMasking, class Activation, bool kTwoTerms, class X, class T, int V>
struct GradientTerms {
  static constexpr int kChannels = V;
  static constexpr int kRows = batch_of<X, V>(kTwoTerms ? 4 : 2);  // masked or not
  static constexpr bool kWrites = kTwoTerms || kMasking == Masking::by_result;
  const X* x;
  const X* dy;
  const X* dy_term;
  const X* y;  // read if masked by the result
  X* dresidual;
  Activation activation;
  const T* mean;
  const T* inv_std;
  const T* weight;
  const T* bias;
  std::int64_t rows, C;

  struct Batch {
    static constexpr int kRows = GradientTerms::kRows;
    Waiting<X, V> value[kRows];
    Waiting<X, V> gradient[kRows];
    Waiting<X, V> added[kTwoTerms ? kRows : 1];
    Waiting<X, V> result[kMasking == Masking::by_result ? kRows : 1];
  };

  __device__ void operator()(std::int64_t c, const Chunks& chunks, Sums<V>& sums) const {
    ForwardChannel<T> channel[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      channel[v] = forward_channel(c + v, mean, inv_std, weight, bias);
    }
    const auto load = [&](Batch& batch, std::int64_t first) {
      load_rows(batch.value, x + c, first, rows, C, {});
      // 0 beyond the end: what it meets is lost.
      load_rows(batch.gradient, dy + c, first, rows, C, {});
      if constexpr (kTwoTerms) {
        load_rows(batch.added, dy_term + c, first, rows, C, {});
      }
      if constexpr (kMasking == Masking::by_result) {
        load_rows(batch.result, y + c, first, rows, C, {});
      }
    };
    chunks.descend<Batch>(load, [&](const Batch& batch, std::int64_t first) {
      const auto& [value, given, added, result] = batch;
      Pack<X, V> gradient[kRows];
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T sum{0};
        T product{0};
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const T from = value[i].template element<T>(v);
          T term = given[i].template element<T>(v);
          if constexpr (kTwoTerms) {
            term += added[i].template element<T>(v);
          }
          if constexpr (kMasking == Masking::by_result) {
            term = masked(term, result[i].template element<T>(v), activation.slope);
          } else if constexpr (kMasking == Masking::by_input) {
            term = activation.gradient(term, channel[v](from));
          }
          if constexpr (kWrites) {
            gradient[i][v] = narrowed<X>(term);
          }
          sum += term;
          product += term * (from - channel[v].center);
        }
        sums.first[v] += static_cast<double>(sum);
        sums.second[v] += static_cast<double>(product);
      }
      if (kWrites && dresidual != nullptr) {
        store_rows(dresidual + c, gradient, first, rows, C);
      }
    });
  }
};

/// dbias and dweight of channel c, and sum(dY) and sum(dY * xhat) for the input gradient.
template <class T>
struct GradientFinish {
  const T* inv_std;
  T* dweight;
  T* dbias;
  double* sums;
  std::int64_t C;

  __device__ void operator()(std::int64_t c, double sum, double centered) const {
    const double product = centered * static_cast<double>(inv_std[c]);
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
__global__ void __launch_bounds__(kThreads, kResident)
    sum_rows_kernel(const __grid_constant__ Terms terms, const __grid_constant__ Finish finish,
                    std::int64_t rows, std::int64_t C, std::int64_t channel_blocks,
                    double* partial) {
  begin_kernel();
  constexpr int V = Terms::kChannels;
  __shared__ double shared[2][kThreads * V];
  const Chunks chunks{rows, blockIdx.x / channel_blocks, gridDim.x / channel_blocks};
  const std::int64_t c = channel_of<V>(channel_blocks);
  Sums<V> sums;
  if (c < C) {
    terms(c, chunks, sums);
  }
  const int width = static_cast<int>(blockDim.x) * V;
  const int at = static_cast<int>(threadIdx.y) * width + static_cast<int>(threadIdx.x) * V;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    shared[0][at + v] = sums.first[v];
    shared[1][at + v] = sums.second[v];
  }
  __syncthreads();
  // A thread a channel adds the rows of threads, in order.
  const int channel = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const std::int64_t to = blockIdx.x % channel_blocks * width + channel;
  if (channel >= width || to >= C) {
    return;
  }
  double sum = 0.0;
  double product = 0.0;
#pragma unroll 8
  for (int i = channel; i < kThreads * V; i += width) {
    sum += shared[0][i];
    product += shared[1][i];
  }
  if (chunks.blocks == 1) {
    finish(to, sum, product);
  } else {
    partial[chunks.block * 2 * C + to] = sum;
    partial[chunks.block * 2 * C + C + to] = product;
  }
}

/// Second stage: adds the row blocks of each channel, kFinishRows threads those in turn, then a
/// warp what its lanes have, in a fixed tree. partial is [row block][2][C].
template <class Finish, class Partial>
__global__ void __launch_bounds__(kFinishChannels* kFinishRows)
    add_row_blocks_kernel(const __grid_constant__ Finish finish, std::int64_t C,
                          std::int64_t row_blocks, const Partial* partial) {
  begin_kernel();
  static_assert(kFinishRows == 32, "a warp adds up a channel");
  __shared__ double shared[2][kFinishChannels][kFinishRows + 1];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kFinishChannels;
  const int column = static_cast<int>(threadIdx.x) % kFinishChannels;
  const int row = static_cast<int>(threadIdx.x) / kFinishChannels;
  double sum = 0.0;
  double product = 0.0;
  // The loads of what sum_rows_kernel() leaves are all in flight at once.
  constexpr int kMost = static_cast<int>(ceil_div(kWantedBlocks, kFinishRows));
  for (std::int64_t from = row; first + column < C && from < row_blocks;
       from += kMost * kFinishRows) {
    Partial of_block[kMost][2];
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      const std::int64_t block = from + i * kFinishRows;
      const Partial* const at = partial + block * 2 * C + first + column;
      of_block[i][0] = block < row_blocks ? at[0] : Partial{0};
      of_block[i][1] = block < row_blocks ? at[C] : Partial{0};
    }
#pragma unroll
    for (const auto& terms : of_block) {
      sum += static_cast<double>(terms[0]);
      product += static_cast<double>(terms[1]);
    }
  }
  shared[0][column][row] = sum;
  shared[1][column][row] = product;
  __syncthreads();  // from here on finish may write where partial lies: other blocks' channels stay
  const int channel = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  sum = shared[0][channel][lane];
  product = shared[1][channel][lane];
  for (int distance = 16; distance > 0; distance /= 2) {
    sum += __shfl_down_sync(~0U, sum, distance);
    product += __shfl_down_sync(~0U, product, distance);
  }
  if (lane == 0 && first + channel < C) {
    finish(first + channel, sum, product);
  }
}

template <class Finish, class Partial>
void add_row_blocks(std::int64_t C, const Finish& finish, std::int64_t row_blocks,
                    const Partial* partial) {
  launch("batch_norm", add_row_blocks_kernel<Finish, Partial>,
         static_cast<unsigned>(ceil_div(C, kFinishChannels)), kFinishChannels * kFinishRows, 0,
         finish, C, row_blocks, partial);
}

template <class Terms, class Finish>
void sum_rows(const BatchNormProblem& p, const Terms& terms, const Finish& finish,
              double* partial) {
  const Cut cut = cut_of(p, Terms::kChannels, kLeastRows);
  launch("batch_norm", sum_rows_kernel<Terms, Finish>,
         static_cast<unsigned>(cut.channel_blocks * cut.row_blocks),
         dim3(static_cast<unsigned>(cut.columns), static_cast<unsigned>(cut.rows)), 0, terms,
         finish, p.rows, p.C, cut.channel_blocks, partial);
  if (cut.row_blocks > 1) {
    add_row_blocks(p.C, finish, cut.row_blocks, partial);
  }
}

}  // namespace cks::kernels::cuda
