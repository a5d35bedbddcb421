// Pooling on a GPU: a thread makes V neighbouring channels of one element of the result, and walks
// the windows in the CPU's order. Gradients are gathered, so nothing is ever added by two threads.
#include <cmath>
#include <initializer_list>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/common/taps.h"
#include "cks/kernels/pool2d/pool2d.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// The windows that span pixel i. A dilated window also spans pixels that it does not read.
template <class Index>
__device__ __forceinline__ IndexRangeOf<Index> windows_of(const TapAxisOf<Index>& axis, Index i) {
  const Index position = i + axis.pad;
  const Index before = position - (axis.filter - 1) * axis.dilation;
  const Index begin = before <= 0 ? 0 : ceil_div(before, axis.stride);
  const Index end = position / axis.stride + 1;
  return {begin, end < axis.out ? end : axis.out};
}

template <class Index>
struct Pooling {
  TapAxisOf<Index> rows, columns;
  Index N, C, packs;  // packs of V channels in a pixel
};

/// Image, row, column and first channel of a pack of an image of height * width pixels.
template <class Index>
struct Place {
  Index n, h, w, c;
};

template <int V, class Index>
__device__ __forceinline__ Place<Index> place_of(Index i, Index packs, Index width, Index height) {
  Place<Index> at{};
  Index rest = i / packs;
  at.c = (i - rest * packs) * V;
  Index above = rest / width;
  at.w = rest - above * width;
  at.n = above / height;
  at.h = above - at.n * height;
  return at;
}

/// Calls body(i) for this thread's share of [0, count).
template <class Index, class Body>
__device__ __forceinline__ void for_share(Index count, Body&& body) {
  const Index stride = static_cast<Index>(gridDim.x) * static_cast<Index>(blockDim.x);
  for (Index i = static_cast<Index>(blockIdx.x) * static_cast<Index>(blockDim.x) +
                 static_cast<Index>(threadIdx.x);
       i < count; i += stride) {
    body(i);
  }
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    max_forward_kernel(const __grid_constant__ Pooling<Index> p, const T* x, T* y,
                       std::int32_t* index) {
  begin_kernel();
  const Index count = p.N * p.rows.out * p.columns.out * p.packs;
  for_share(count, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.out, p.rows.out);
    const T* image = x + at.n * p.rows.in * p.columns.in * p.C + at.c;
    const IndexRangeOf<Index> fh = forward_taps(p.rows, at.h);
    const IndexRangeOf<Index> fw = forward_taps(p.columns, at.w);
    const Index corner = (at.h * p.rows.stride - p.rows.pad) * p.columns.in +
                         at.w * p.columns.stride - p.columns.pad;
    // The first tap's pixel, which keeps a window full of -infinity; none in an empty window.
    const Index first =
        fh.size() * fw.size() == 0
            ? -1
            : corner + fh.begin * p.rows.dilation * p.columns.in + fw.begin * p.columns.dilation;
    const T lowest = -static_cast<T>(INFINITY);
    Pack<T, V> best;
    Pack<std::int32_t, V> where;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      best.lane[v] = lowest;
      where.lane[v] = static_cast<std::int32_t>(first);
    }
    for (Index h = fh.begin; h < fh.end; ++h) {
      Index pixel = corner + h * p.rows.dilation * p.columns.in + fw.begin * p.columns.dilation;
      for (Index w = fw.begin; w < fw.end; ++w, pixel += p.columns.dilation) {
        const Pack<T, V> value = load_pack<V>(image + pixel * p.C);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          // A larger number replaces, and so does a NaN; nothing but a NaN replaces a NaN.
          if (value.lane[v] > best.lane[v] || value.lane[v] != value.lane[v]) {
            best.lane[v] = value.lane[v];
            where.lane[v] = static_cast<std::int32_t>(pixel);
          }
        }
      }
    }
    store_pack<V>(y + i * V, best);
    store_pack<V>(index + i * V, where);
  });
}

/// Adds up, for the pixels of dX, what share(window, oh, ow) gives of each window that spans them.
template <class T, int V, class Index, class Share>
__device__ __forceinline__ void gather(const Pooling<Index>& p, T* dx, Share&& share) {
  const Index count = p.N * p.rows.in * p.columns.in * p.packs;
  for_share(count, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.in, p.rows.in);
    const IndexRangeOf<Index> oh = windows_of(p.rows, at.h);
    const IndexRangeOf<Index> ow = windows_of(p.columns, at.w);
    Pack<T, V> sum{};
    for (Index h = oh.begin; h < oh.end; ++h) {
      for (Index w = ow.begin; w < ow.end; ++w) {
        const Index out = ((at.n * p.rows.out + h) * p.columns.out + w) * p.C + at.c;
        share(sum, out, h, w, at.h * p.columns.in + at.w);
      }
    }
    store_pack<V>(dx + i * V, sum);
  });
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    max_backward_kernel(const __grid_constant__ Pooling<Index> p, const T* dy,
                        const std::int32_t* index, T* dx) {
  begin_kernel();
  gather<T, V, Index>(p, dx, [&](Pack<T, V>& sum, Index out, Index, Index, Index pixel) {
    const Pack<std::int32_t, V> where = load_pack<V>(index + out);
    const Pack<T, V> gradient = load_pack<V>(dy + out);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum.lane[v] += where.lane[v] == pixel ? gradient.lane[v] : T{0};
    }
  });
}

/// What the sum of a window is divided by.
template <class Index>
__device__ __forceinline__ Index divisor_of(const Pooling<Index>& p, bool count_include_pad,
                                            Index oh, Index ow) {
  return count_include_pad ? p.rows.filter * p.columns.filter
                           : forward_taps(p.rows, oh).size() * forward_taps(p.columns, ow).size();
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_forward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad, const T* x,
                       T* y) {
  begin_kernel();
  const Index count = p.N * p.rows.out * p.columns.out * p.packs;
  for_share(count, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.out, p.rows.out);
    const T* image = x + at.n * p.rows.in * p.columns.in * p.C + at.c;
    const IndexRangeOf<Index> fh = forward_taps(p.rows, at.h);
    const IndexRangeOf<Index> fw = forward_taps(p.columns, at.w);
    Pack<T, V> sum{};
    for (Index h = fh.begin; h < fh.end; ++h) {
      const Index row = (at.h * p.rows.stride - p.rows.pad + h) * p.columns.in;
      for (Index w = fw.begin; w < fw.end; ++w) {
        const Index pixel = row + at.w * p.columns.stride - p.columns.pad + w;
        const Pack<T, V> value = load_pack<V>(image + pixel * p.C);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          sum.lane[v] += value.lane[v];
        }
      }
    }
    const auto divisor = static_cast<T>(divisor_of(p, count_include_pad, at.h, at.w));
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum.lane[v] /= divisor;
    }
    store_pack<V>(y + i * V, sum);
  });
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_backward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad,
                        const T* dy, T* dx) {
  begin_kernel();
  gather<T, V, Index>(p, dx, [&](Pack<T, V>& sum, Index out, Index oh, Index ow, Index) {
    const auto divisor = static_cast<T>(divisor_of(p, count_include_pad, oh, ow));
    const Pack<T, V> gradient = load_pack<V>(dy + out);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum.lane[v] += gradient.lane[v] / divisor;
    }
  });
}

constexpr int kChannels = 32;  // of a block of the global average
constexpr int kSharers = 8;    // threads that share the pixels of one channel

/// A block averages kChannels channels of one image; its rows of threads take pixels in turn, and
/// their sums are added in order.
template <class T>
__global__ void __launch_bounds__(kChannels* kSharers)
    global_forward_kernel(std::int64_t N, std::int64_t pixels, std::int64_t C, const T* x, T* y) {
  begin_kernel();
  __shared__ double sums[kSharers][kChannels];
  const std::int64_t chunks = ceil_div<std::int64_t>(C, kChannels);
  for (std::int64_t block = blockIdx.x; block < N * chunks; block += gridDim.x) {
    const std::int64_t n = block / chunks;
    const std::int64_t c = (block - n * chunks) * kChannels + threadIdx.x;
    double sum = 0.0;
    if (c < C) {
      const T* from = x + n * pixels * C + c;
#pragma unroll 4
      for (std::int64_t pixel = threadIdx.y; pixel < pixels; pixel += kSharers) {
        sum += static_cast<double>(from[pixel * C]);
      }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < C) {
      for (int s = 1; s < kSharers; ++s) {
        sum += sums[s][threadIdx.x];
      }
      y[n * C + c] = static_cast<T>(sum / static_cast<double>(pixels));
    }
    __syncthreads();
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    global_backward_kernel(std::int64_t N, std::int64_t pixels, std::int64_t C, const T* dy,
                           T* dx) {
  begin_kernel();
  const std::int64_t packs = C / V;
  for_share(N * pixels * packs, [&](std::int64_t i) {
    const std::int64_t row = i / packs;
    Pack<T, V> value = load_pack<V>(dy + row / pixels * C + (i - row * packs) * V);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      value.lane[v] /= static_cast<T>(pixels);
    }
    store_pack<V>(dx + i * V, value);
  });
}

template <class Index>
Pooling<Index> pooling_of(const Pool2dProblem& p, int lanes) {
  const auto index = [](std::int64_t value) { return static_cast<Index>(value); };
  return {{index(p.IH), index(p.OH), index(p.FH), index(p.sh), index(p.pt), index(p.dh)},
          {index(p.IW), index(p.OW), index(p.FW), index(p.sw), index(p.pl), index(p.dw)},
          index(p.N),
          index(p.C),
          index(p.C / lanes)};
}

/// Whether 32-bit numbers hold every place in the padded images, which saves slow divisions.
bool is_narrow(const Pool2dProblem& p) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  const auto product_fits = [](std::initializer_list<std::int64_t> extents) {
    std::int64_t product = 1;
    for (const std::int64_t given : extents) {
      const std::int64_t extent = given < 1 ? 1 : given;
      if (extent > kMost / product) {
        return false;
      }
      product *= extent;
    }
    return true;
  };
  return p.sh <= kMost && p.sw <= kMost && product_fits({p.N, p.OH, p.OW, p.C}) &&
         product_fits({p.N, p.IH + p.pt + p.FH * p.dh, p.IW + p.pl + p.FW * p.dw, p.C});
}

/// Calls body(V, pooling) with the channels of a thread and 32-bit or 64-bit indices.
template <class T, class Body>
void with_pooling(const Pool2dProblem& problem, bool aligned, Body&& body) {
  const auto with_index = [&](auto lanes) {
    if (is_narrow(problem)) {
      body(lanes, pooling_of<std::int32_t>(problem, lanes));
    } else {
      body(lanes, pooling_of<std::int64_t>(problem, lanes));
    }
  };
  constexpr int kHalf = kPackLanes<T> / 2;
  if (kHalf > 1 && aligned && problem.C % kPackLanes<T> != 0 && problem.C % kHalf == 0) {
    with_index(std::integral_constant<int, kHalf>{});
  } else {
    with_lanes<T>(problem.C, aligned, with_index);
  }
}

template <class Index>
std::int64_t output_packs(const Pooling<Index>& p) {
  return std::int64_t{p.N} * p.rows.out * p.columns.out * p.packs;
}
template <class Index>
std::int64_t input_packs(const Pooling<Index>& p) {
  return std::int64_t{p.N} * p.rows.in * p.columns.in * p.packs;
}

}  // namespace

void max_pool2d_forward(const Pool2dProblem& problem, const void* x, void* y, std::int32_t* index) {
  visit_real("max_pool2d", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool aligned = aligned_for_packs(x, y, index);
    with_pooling<T>(problem, aligned, [&]<class Index>(auto lanes, const Pooling<Index>& p) {
      if (output_packs(p) > 0) {
        launch("max_pool2d", max_forward_kernel<T, lanes, Index>,
               grid_for(output_packs(p), kThreads), kThreads, 0, p, static_cast<const T*>(x),
               static_cast<T*>(y), index);
      }
    });
  });
}

void max_pool2d_backward(const Pool2dProblem& problem, const void* dy, const std::int32_t* index,
                         void* dx) {
  visit_real("max_pool2d", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool aligned = aligned_for_packs(dy, index, dx);
    with_pooling<T>(problem, aligned, [&]<class Index>(auto lanes, const Pooling<Index>& p) {
      if (input_packs(p) > 0) {
        launch("max_pool2d", max_backward_kernel<T, lanes, Index>,
               grid_for(input_packs(p), kThreads), kThreads, 0, p, static_cast<const T*>(dy), index,
               static_cast<T*>(dx));
      }
    });
  });
}

void avg_pool2d_forward(const Pool2dProblem& problem, bool count_include_pad, const void* x,
                        void* y) {
  visit_real("avg_pool2d", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool aligned = aligned_for_packs(x, y);
    with_pooling<T>(problem, aligned, [&]<class Index>(auto lanes, const Pooling<Index>& p) {
      if (output_packs(p) > 0) {
        launch("avg_pool2d", avg_forward_kernel<T, lanes, Index>,
               grid_for(output_packs(p), kThreads), kThreads, 0, p, count_include_pad,
               static_cast<const T*>(x), static_cast<T*>(y));
      }
    });
  });
}

void avg_pool2d_backward(const Pool2dProblem& problem, bool count_include_pad, const void* dy,
                         void* dx) {
  visit_real("avg_pool2d", problem.dtype, [&](auto zero) {
    using T = decltype(zero);
    const bool aligned = aligned_for_packs(dy, dx);
    with_pooling<T>(problem, aligned, [&]<class Index>(auto lanes, const Pooling<Index>& p) {
      if (input_packs(p) > 0) {
        launch("avg_pool2d", avg_backward_kernel<T, lanes, Index>,
               grid_for(input_packs(p), kThreads), kThreads, 0, p, count_include_pad,
               static_cast<const T*>(dy), static_cast<T*>(dx));
      }
    });
  });
}

void global_avg_pool2d_forward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                               const void* x, void* y) {
  visit_real("global_avg_pool2d", dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t blocks = N * ceil_div<std::int64_t>(C, kChannels);
    if (blocks > 0) {
      launch("global_avg_pool2d", global_forward_kernel<T>, grid_for(blocks, 1),
             dim3(kChannels, kSharers), 0, N, pixels, C, static_cast<const T*>(x),
             static_cast<T*>(y));
    }
  });
}

void global_avg_pool2d_backward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                                const void* dy, void* dx) {
  visit_real("global_avg_pool2d", dtype, [&](auto zero) {
    using T = decltype(zero);
    with_lanes<T>(C, aligned_for_packs(dy, dx), [&](auto lanes) {
      const std::int64_t count = N * pixels * C / lanes;
      if (count > 0) {
        launch("global_avg_pool2d", global_backward_kernel<T, lanes>, grid_for(count, kThreads),
               kThreads, 0, N, pixels, C, static_cast<const T*>(dy), static_cast<T*>(dx));
      }
    });
  });
}

}  // namespace cks::kernels::cuda
