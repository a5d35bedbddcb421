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
  Index padded_rows, padded_columns;
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

/// The taps of one window that lie in the image.
template <class Index>
struct Window {
  Index oh, ow;
  IndexRangeOf<Index> fh, fw;
  Index corner;  // pixel of tap (0,0), which may lie outside

  __device__ __forceinline__ Window(const Pooling<Index>& p, Index row, Index column)
      : oh(row),
        ow(column),
        fh(forward_taps(p.rows, oh)),
        fw(forward_taps(p.columns, ow)),
        corner((oh * p.rows.stride - p.rows.pad) * p.columns.in + ow * p.columns.stride -
               p.columns.pad) {}
  __device__ Index size() const { return fh.size() * fw.size(); }
  /// The pixel ih*IW+iw of tap (h,w).
  __device__ Index pixel_of(const Pooling<Index>& p, Index h, Index w) const {
    return corner + h * p.rows.dilation * p.columns.in + w * p.columns.dilation;
  }
};

/// Calls body(out, window, for_taps) for each pack of Y, which begins at element `out`;
/// for_taps(take) calls take(values, pixel) for the window's taps, in order.
template <class T, int V, class Index, class Body>
__device__ __forceinline__ void for_windows(const Pooling<Index>& p, const T* x, Body&& body) {
  for_share(p.N * p.rows.out * p.columns.out * p.packs, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.out, p.rows.out);
    const T* image = x + at.n * p.rows.in * p.columns.in * p.C + at.c;
    const Window<Index> window(p, at.h, at.w);
    const auto for_taps = [&](auto&& take) {
      for (Index h = window.fh.begin; h < window.fh.end; ++h) {
        Index pixel = window.pixel_of(p, h, window.fw.begin);
        for (Index w = window.fw.begin; w < window.fw.end; ++w, pixel += p.columns.dilation) {
          take(load_pack<V>(image + pixel * p.C), pixel);
        }
      }
    };
    body(i * V, window, for_taps);
  });
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    max_forward_kernel(const __grid_constant__ Pooling<Index> p, const T* x, T* y,
                       std::int32_t* index) {
  begin_kernel();
  for_windows<T, V>(p, x, [&](Index out, const Window<Index>& window, auto&& for_taps) {
    // The first tap's pixel, which keeps a window full of -infinity; none in an empty window.
    const Index first =
        window.size() == 0 ? -1 : window.pixel_of(p, window.fh.begin, window.fw.begin);
    Pack<T, V> best;
    Pack<std::int32_t, V> where;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      best[v] = -static_cast<T>(INFINITY);
      where[v] = static_cast<std::int32_t>(first);
    }
    for_taps([&](const Pack<T, V>& value, Index pixel) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        // A larger number replaces, and so does a NaN; nothing but a NaN replaces a NaN.
        if (value[v] > best[v] || value[v] != value[v]) {
          best[v] = value[v];
          where[v] = static_cast<std::int32_t>(pixel);
        }
      }
    });
    store_pack<V>(y + out, best);
    store_pack<V>(index + out, where);
  });
}

/// Sums in double, as elements of the result.
template <class T, int V>
__device__ __forceinline__ Pack<T, V> narrowed(const Pack<double, V>& sums) {
  Pack<T, V> values;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    values[v] = static_cast<T>(sums[v]);
  }
  return values;
}

/// Adds up, for the pixels of dX, what share(window, oh, ow) gives of each window that spans them.
template <class T, int V, class Index, class Share>
__device__ __forceinline__ void gather(const Pooling<Index>& p, T* dx, Share&& share) {
  const Index count = p.N * p.rows.in * p.columns.in * p.packs;
  for_share(count, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.in, p.rows.in);
    const IndexRangeOf<Index> oh = windows_of(p.rows, at.h);
    const IndexRangeOf<Index> ow = windows_of(p.columns, at.w);
    Pack<double, V> sum{};
    for (Index h = oh.begin; h < oh.end; ++h) {
      for (Index w = ow.begin; w < ow.end; ++w) {
        const Index out = ((at.n * p.rows.out + h) * p.columns.out + w) * p.C + at.c;
        share(sum, out, h, w, at.h * p.columns.in + at.w);
      }
    }
    store_pack<V>(dx + i * V, narrowed<T>(sum));
  });
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    max_backward_kernel(const __grid_constant__ Pooling<Index> p, const T* dy,
                        const std::int32_t* index, T* dx) {
  begin_kernel();
  gather<T, V, Index>(p, dx, [&](Pack<double, V>& sum, Index out, Index, Index, Index pixel) {
    const Pack<std::int32_t, V> where = load_pack<V>(index + out);
    const Pack<T, V> gradient = load_pack<V>(dy + out);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] += where[v] == pixel ? gradient[v] : T{0};
    }
  });
}

/// What the sum of window (oh,ow) is divided by.
template <class Index>
__device__ __forceinline__ Index divisor_of(const Pooling<Index>& p, bool count_include_pad,
                                            Index oh, Index ow) {
  return count_include_pad
             ? taps_before(p.padded_rows, oh * p.rows.stride, p.rows.filter) *
                   taps_before(p.padded_columns, ow * p.columns.stride, p.columns.filter)
             : Window<Index>(p, oh, ow).size();
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_forward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad, const T* x,
                       T* y) {
  begin_kernel();
  for_windows<T, V>(p, x, [&](Index out, const Window<Index>& window, auto&& for_taps) {
    Pack<double, V> sum{};
    for_taps([&](const Pack<T, V>& value, Index) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sum[v] += value[v];
      }
    });
    const auto divisor =
        static_cast<double>(divisor_of(p, count_include_pad, window.oh, window.ow));
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] /= divisor;
    }
    store_pack<V>(y + out, narrowed<T>(sum));
  });
}

template <class T, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_backward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad,
                        const T* dy, T* dx) {
  begin_kernel();
  gather<T, V, Index>(p, dx, [&](Pack<double, V>& sum, Index out, Index oh, Index ow, Index) {
    const auto divisor = static_cast<T>(divisor_of(p, count_include_pad, oh, ow));
    const Pack<T, V> gradient = load_pack<V>(dy + out);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] += gradient[v] / divisor;
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
  const std::int64_t chunks = ceil_div(C, kChannels);
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
      value[v] /= static_cast<T>(pixels);
    }
    store_pack<V>(dx + i * V, value);
  });
}

template <class Index>
Pooling<Index> pooling_of(const Pool2dProblem& p, int V) {
  const auto index = [](std::int64_t value) { return static_cast<Index>(value); };
  return {{index(p.IH), index(p.OH), index(p.FH), index(p.sh), index(p.pt), index(p.dh)},
          {index(p.IW), index(p.OW), index(p.FW), index(p.sw), index(p.pl), index(p.dw)},
          index(p.pt + p.IH + p.pb),
          index(p.pl + p.IW + p.pr),
          index(p.N),
          index(p.C),
          index(p.C / V)};
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

/// Calls body(T{}, V, pooling) with the problem's type, the channels of a thread and 32-bit or
/// 64-bit indices; not for an empty batch.
template <class Body>
void visit(const char* operation, const Pool2dProblem& problem, bool aligned, Body&& body) {
  visit_real(operation, problem.dtype, [&]<class T>(T zero) {
    const auto with_index = [&](auto V) {
      if (is_narrow(problem)) {
        body(zero, V, pooling_of<std::int32_t>(problem, V));
      } else {
        body(zero, V, pooling_of<std::int64_t>(problem, V));
      }
    };
    constexpr int kHalf = kPackSize<T> / 2;
    if (problem.N == 0) {
      return;
    }
    if (kHalf > 1 && aligned && problem.C % kPackSize<T> != 0 && problem.C % kHalf == 0) {
      with_index(std::integral_constant<int, kHalf>{});
    } else {
      with_channels<T>(problem.C, aligned, with_index);
    }
  });
}

/// A thread for each pack of Y, and of dX.
template <class Index>
unsigned output_grid(const Pooling<Index>& p) {
  return grid_for(std::int64_t{p.N} * p.rows.out * p.columns.out * p.packs, kThreads);
}
template <class Index>
unsigned input_grid(const Pooling<Index>& p) {
  return grid_for(std::int64_t{p.N} * p.rows.in * p.columns.in * p.packs, kThreads);
}

}  // namespace

void max_pool2d_forward(const Pool2dProblem& problem, const void* x, void* y, std::int32_t* index) {
  visit("max_pool2d", problem, aligned_for_packs(x, y, index),
        [&]<class T, class Index>(T, auto V, const Pooling<Index>& p) {
          launch("max_pool2d", max_forward_kernel<T, V, Index>, output_grid(p), kThreads, 0, p,
                 static_cast<const T*>(x), static_cast<T*>(y), index);
        });
}

void max_pool2d_backward(const Pool2dProblem& problem, const void* dy, const std::int32_t* index,
                         void* dx) {
  visit("max_pool2d", problem, aligned_for_packs(dy, index, dx),
        [&]<class T, class Index>(T, auto V, const Pooling<Index>& p) {
          launch("max_pool2d", max_backward_kernel<T, V, Index>, input_grid(p), kThreads, 0, p,
                 static_cast<const T*>(dy), index, static_cast<T*>(dx));
        });
}

void avg_pool2d_forward(const Pool2dProblem& problem, bool count_include_pad, const void* x,
                        void* y) {
  visit("avg_pool2d", problem, aligned_for_packs(x, y),
        [&]<class T, class Index>(T, auto V, const Pooling<Index>& p) {
          launch("avg_pool2d", avg_forward_kernel<T, V, Index>, output_grid(p), kThreads, 0, p,
                 count_include_pad, static_cast<const T*>(x), static_cast<T*>(y));
        });
}

void avg_pool2d_backward(const Pool2dProblem& problem, bool count_include_pad, const void* dy,
                         void* dx) {
  visit("avg_pool2d", problem, aligned_for_packs(dy, dx),
        [&]<class T, class Index>(T, auto V, const Pooling<Index>& p) {
          launch("avg_pool2d", avg_backward_kernel<T, V, Index>, input_grid(p), kThreads, 0, p,
                 count_include_pad, static_cast<const T*>(dy), static_cast<T*>(dx));
        });
}

void global_avg_pool2d_forward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                               const void* x, void* y) {
  visit_real("global_avg_pool2d", dtype, [&]<class T>(T) {
    const std::int64_t blocks = N * ceil_div(C, kChannels);
    if (blocks > 0) {
      launch("global_avg_pool2d", global_forward_kernel<T>, grid_for(blocks, 1),
             dim3(kChannels, kSharers), 0, N, pixels, C, static_cast<const T*>(x),
             static_cast<T*>(y));
    }
  });
}

void global_avg_pool2d_backward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                                const void* dy, void* dx) {
  visit_real("global_avg_pool2d", dtype, [&]<class T>(T) {
    with_channels<T>(C, aligned_for_packs(dy, dx), [&](auto V) {
      const std::int64_t count = N * pixels * C / V;
      if (count > 0) {
        launch("global_avg_pool2d", global_backward_kernel<T, V>, grid_for(count, kThreads),
               kThreads, 0, N, pixels, C, static_cast<const T*>(dy), static_cast<T*>(dx));
      }
    });
  });
}

}  // namespace cks::kernels::cuda
