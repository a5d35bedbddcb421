// Pooling on a GPU: a thread makes V neighbouring channels of one element of the result, and walks
// the windows in the CPU's order; usual windows of maxima have kernels in max_strips.cuh. Gradients
// are gathered, so nothing is ever added by two threads. X is the type of elements, bfloat16 among
// them; T the one that they compute in.
#include <cmath>
#include <initializer_list>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/common/taps.h"
#include "cks/kernels/pool2d/max_strips.cuh"
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

/// The tap of window o that reads pixel i of those that it spans; -1 if the window steps over it.
template <class Index>
__device__ __forceinline__ Index tap_at(const TapAxisOf<Index>& axis, Index i, Index o) {
  const Index from_first = i + axis.pad - o * axis.stride;
  const Index tap = from_first / axis.dilation;
  return tap * axis.dilation == from_first ? tap : -1;
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

  __device__ __forceinline__ Window(const Pooling<Index>& p, Index row, Index column)
      : oh(row), ow(column), fh(forward_taps(p.rows, oh)), fw(forward_taps(p.columns, ow)) {}
  __device__ Index size() const { return fh.size() * fw.size(); }
};

template <class X, int V, class Sum>
__device__ __forceinline__ Pack<X, V> as_elements(const Sum (&sums)[V]) {
  Pack<X, V> values;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    values[v] = narrowed<X>(sums[v]);
  }
  return values;
}

/// Calls body(out, window, for_taps) for each pack of Y, which begins at element `out`;
/// for_taps(take) calls take(values, h, w) for the window's taps, in order.
template <class X, int V, class Index, class Body>
__device__ __forceinline__ void for_windows(const Pooling<Index>& p, const X* x, Body&& body) {
  for_share(p.N * p.rows.out * p.columns.out * p.packs, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.out, p.rows.out);
    const X* image = x + at.n * p.rows.in * p.columns.in * p.C + at.c;
    const Window<Index> window(p, at.h, at.w);
    // The pixel of tap (0,0), which may lie outside.
    const Index corner = (at.h * p.rows.stride - p.rows.pad) * p.columns.in +
                         at.w * p.columns.stride - p.columns.pad;
    const auto for_taps = [&](auto&& take) {
      for (Index h = window.fh.begin; h < window.fh.end; ++h) {
        const Index row = corner + h * p.rows.dilation * p.columns.in;
        for (Index w = window.fw.begin; w < window.fw.end; ++w) {
          take(load_pack<V>(image + (row + w * p.columns.dilation) * p.C), h, w);
        }
      }
    };
    body(i * V, window, for_taps);
  });
}

/// Tap is an element of the index: tap_code() of where the maximum was found, -1 if there is none.
template <class X, int V, class Index, class Tap>
__global__ void __launch_bounds__(kThreads)
    max_forward_kernel(const __grid_constant__ Pooling<Index> p, const X* x, X* y, Tap* index) {
  begin_kernel();
  for_windows<X, V>(p, x, [&](Index out, const Window<Index>& window, auto&& for_taps) {
    const auto code = [&](Index h, Index w) {
      return tap_code(p.rows.filter, p.columns.filter, h, w);
    };
    // The first tap keeps a window full of -infinity.
    const Index first = window.size() == 0 ? -1 : code(window.fh.begin, window.fw.begin);
    ComputeType<X> best[V];
    Pack<Tap, V> where;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      best[v] = -static_cast<ComputeType<X>>(INFINITY);
      where[v] = static_cast<Tap>(first);
    }
    for_taps([&](const Pack<X, V>& values, Index h, Index w) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        // A larger number replaces, and so does a NaN; nothing but a NaN replaces a NaN.
        const auto value = widen<ComputeType<X>>(values[v]);
        if (value > best[v] || value != value) {
          best[v] = value;
          where[v] = static_cast<Tap>(code(h, w));
        }
      }
    });
    store_pack(y + out, as_elements<X, V>(best));
    store_pack(index + out, where);
  });
}

/// Adds up, for the pixels of dX, what share(sum, out, oh, ow, at) adds of each window that spans
/// pixel `at`; the window's gradient begins at element `out`.
template <class X, int V, class Index, class Share>
__device__ __forceinline__ void gather(const Pooling<Index>& p, X* dx, Share&& share) {
  const Index count = p.N * p.rows.in * p.columns.in * p.packs;
  for_share(count, [&](Index i) {
    const Place<Index> at = place_of<V>(i, p.packs, p.columns.in, p.rows.in);
    const IndexRangeOf<Index> oh = windows_of(p.rows, at.h);
    const IndexRangeOf<Index> ow = windows_of(p.columns, at.w);
    SumOf<X> sum[V] = {};
    for (Index h = oh.begin; h < oh.end; ++h) {
      for (Index w = ow.begin; w < ow.end; ++w) {
        share(sum, ((at.n * p.rows.out + h) * p.columns.out + w) * p.C + at.c, h, w, at);
      }
    }
    store_pack(dx + i * V, as_elements<X, V>(sum));
  });
}

template <class X, int V, class Index, class Tap>
__global__ void __launch_bounds__(kThreads)
    max_backward_kernel(const __grid_constant__ Pooling<Index> p, const X* dy, const Tap* index,
                        X* dx) {
  begin_kernel();
  gather<X, V, Index>(
      p, dx, [&](SumOf<X>(&sum)[V], Index out, Index oh, Index ow, const Place<Index>& at) {
        const Index h = tap_at(p.rows, at.h, oh);
        const Index w = tap_at(p.columns, at.w, ow);
        if (h < 0 || w < 0) {
          return;
        }
        const Index code = tap_code(p.rows.filter, p.columns.filter, h, w);
        const Pack<Tap, V> where = load_pack<V>(index + out);
        const Pack<X, V> gradient = load_pack<V>(dy + out);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          if (where[v] == code) {
            sum[v] += widen<SumOf<X>>(gradient[v]);
          }
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

template <class X, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_forward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad, const X* x,
                       X* y) {
  begin_kernel();
  for_windows<X, V>(p, x, [&](Index out, const Window<Index>& window, auto&& for_taps) {
    SumOf<X> sum[V] = {};
    for_taps([&](const Pack<X, V>& values, Index, Index) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sum[v] += widen<SumOf<X>>(values[v]);
      }
    });
    const auto divisor =
        static_cast<SumOf<X>>(divisor_of(p, count_include_pad, window.oh, window.ow));
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] /= divisor;
    }
    store_pack(y + out, as_elements<X, V>(sum));
  });
}

template <class X, int V, class Index>
__global__ void __launch_bounds__(kThreads)
    avg_backward_kernel(const __grid_constant__ Pooling<Index> p, bool count_include_pad,
                        const X* dy, X* dx) {
  begin_kernel();
  using T = ComputeType<X>;
  gather<X, V, Index>(
      p, dx, [&](SumOf<X>(&sum)[V], Index out, Index oh, Index ow, const Place<Index>&) {
        const auto divisor = static_cast<T>(divisor_of(p, count_include_pad, oh, ow));
        const Pack<X, V> gradient = load_pack<V>(dy + out);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          sum[v] += widen<T>(gradient[v]) / divisor;
        }
      });
}

constexpr int kLanes = 16;    // threads across the channels of a block of the global average
constexpr int kSharers = 16;  // that share the pixels of a channel

/// A block averages kLanes * V channels of one image; its rows of threads take pixels in turn, and
/// their sums are added in order.
template <class X, int V>
__global__ void __launch_bounds__(kLanes* kSharers)
    global_forward_kernel(std::int64_t N, std::int64_t pixels, std::int64_t C, const X* x, X* y) {
  begin_kernel();
  constexpr int kChannels = kLanes * V;
  static_assert(kChannels <= kLanes * kSharers, "a thread ends at most one channel");
  __shared__ double sums[kSharers][kChannels];
  const int thread = static_cast<int>(threadIdx.y) * kLanes + static_cast<int>(threadIdx.x);
  const std::int64_t chunks = ceil_div(C, kChannels);
  for (std::int64_t block = blockIdx.x; block < N * chunks; block += gridDim.x) {
    const std::int64_t n = block / chunks;
    const std::int64_t first = (block - n * chunks) * kChannels;
    const int own = static_cast<int>(threadIdx.x) * V;
    double sum[V] = {};
    if (first + own < C) {
      const X* from = x + n * pixels * C + first + own;
#pragma unroll 4
      for (std::int64_t pixel = threadIdx.y; pixel < pixels; pixel += kSharers) {
        const Pack<X, V> values = load_pack<V>(from + pixel * C);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          sum[v] += widen<double>(values[v]);
        }
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sums[threadIdx.y][own + v] = sum[v];
    }
    __syncthreads();
    if (thread < kChannels && first + thread < C) {
      double all = 0.0;
      for (int s = 0; s < kSharers; ++s) {
        all += sums[s][thread];
      }
      y[n * C + first + thread] = narrowed<X>(all / static_cast<double>(pixels));
    }
    __syncthreads();
  }
}

/// The same of few pixels, which one thread takes, in that order.
template <class X, int V>
__global__ void __launch_bounds__(kThreads)
    global_few_kernel(std::int64_t N, std::int64_t pixels, std::int64_t C, const X* x, X* y) {
  begin_kernel();
  const std::int64_t packs = C / V;
  for_share(N * packs, [&](std::int64_t i) {
    const std::int64_t n = i / packs;
    const X* from = x + n * pixels * C + (i - n * packs) * V;
    double sum[V] = {};
#pragma unroll 4
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      const Pack<X, V> values = load_pack<V>(from + pixel * C);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sum[v] += widen<double>(values[v]);
      }
    }
    Pack<X, V> means;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      means[v] = narrowed<X>(sum[v] / static_cast<double>(pixels));
    }
    store_pack(y + i * V, means);
  });
}

constexpr std::int64_t kRun = 8;  // pixels of a thread of the global average's gradient

template <class X, int V>
__global__ void __launch_bounds__(kThreads)
    global_backward_kernel(std::int64_t N, std::int64_t pixels, std::int64_t C, const X* dy,
                           X* dx) {
  begin_kernel();
  using T = ComputeType<X>;
  const std::int64_t packs = C / V;
  const std::int64_t runs = ceil_div(pixels, kRun);
  for_share(N * runs * packs, [&](std::int64_t i) {
    const std::int64_t row = i / packs;
    const std::int64_t c = (i - row * packs) * V;
    const std::int64_t n = row / runs;
    const std::int64_t begin = (row - n * runs) * kRun;
    const std::int64_t end = begin + kRun < pixels ? begin + kRun : pixels;
    Pack<X, V> value = load_pack<V>(dy + n * C + c);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      value[v] = narrowed<X>(widen<T>(value[v]) / static_cast<T>(pixels));
    }
    for (std::int64_t pixel = begin; pixel < end; ++pixel) {
      store_pack(dx + (n * pixels + pixel) * C + c, value);
    }
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

/// Calls body(X{}, V, pooling) with the problem's type, the channels of a thread and 32-bit or
/// 64-bit indices; not for an empty batch.
template <class X, class Body>
void visit_sizes(const Pool2dProblem& problem, bool aligned, Body&& body) {
  const auto with_index = [&](auto V) {
    if (is_narrow(problem)) {
      body(X{}, V, pooling_of<std::int32_t>(problem, V));
    } else {
      body(X{}, V, pooling_of<std::int64_t>(problem, V));
    }
  };
  constexpr int kHalf = kPackSize<X> / 2;
  if (problem.N == 0) {
    return;
  }
  if (kHalf > 1 && aligned && problem.C % kPackSize<X> != 0 && problem.C % kHalf == 0) {
    with_index(std::integral_constant<int, kHalf>{});
  } else {
    with_channels<X>(problem.C, aligned, with_index);
  }
}

template <class Body>
void visit(const char* operation, const Pool2dProblem& problem, bool aligned, Body&& body) {
  visit_floating(operation, problem.dtype,
                 [&]<class X>(X) { visit_sizes<X>(problem, aligned, body); });
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

/// Whether a byte of the index holds any tap, and 255 for none.
bool is_small(const Pool2dProblem& p) { return p.FH <= 255 && p.FH * p.FW <= 255; }

/// Calls body with a value of the type of the index's elements.
template <class Body>
void visit_tap(const Pool2dProblem& problem, Body&& body) {
  if (is_small(problem)) {
    body(std::uint8_t{});
  } else {
    body(std::int32_t{});
  }
}

}  // namespace

std::size_t max_pool2d_index_bytes(const Pool2dProblem& p) {
  return static_cast<std::size_t>(p.N * p.OH * p.OW * p.C) *
         (is_small(p) ? sizeof(std::uint8_t) : sizeof(std::int32_t));
}

void max_pool2d_forward(const Pool2dProblem& problem, const void* x, void* y, void* index) {
  constexpr const char* kName = "max_pool2d";
  const bool aligned = aligned_for_packs(x, y, index);
  visit_floating(kName, problem.dtype, [&]<class X>(X) {
    const auto* from = static_cast<const X*>(x);
    auto* to = static_cast<X*>(y);
    const auto in_strips = [&](auto F, auto S) {
      const Strips p = make_strips(problem, problem.OW, problem.OH, kPackSize<X>);
      launch(kName, max_strips_forward_kernel<X, F, S>, grid_for(p.threads, kStripThreads),
             kStripThreads, 0, p, from, to, static_cast<std::uint8_t*>(index));
    };
    if (with_strips<X>(problem, aligned, in_strips)) {
      return;
    }
    visit_tap(problem, [&]<class Tap>(Tap) {
      const bool packs = aligned && sizeof(Tap) <= sizeof(X);  // of the index 16 bytes at most
      visit_sizes<X>(problem, packs, [&]<class Index>(X, auto V, const Pooling<Index>& p) {
        launch(kName, max_forward_kernel<X, V, Index, Tap>, output_grid(p), kThreads, 0, p, from,
               to, static_cast<Tap*>(index));
      });
    });
  });
}

void max_pool2d_backward(const Pool2dProblem& problem, const void* dy, const void* index,
                         void* dx) {
  constexpr const char* kName = "max_pool2d";
  const bool aligned = aligned_for_packs(dy, index, dx);
  visit_floating(kName, problem.dtype, [&]<class X>(X) {
    const auto* from = static_cast<const X*>(dy);
    auto* to = static_cast<X*>(dx);
    const auto in_strips = [&](auto F, auto S) {
      // As many rows of windows as begin before the end of the image, or would.
      const std::int64_t steps = ceil_div(problem.pt + problem.IH, problem.sh);
      const Strips p = make_strips(problem, problem.IW, steps, kPackSize<X>);
      launch(kName, max_strips_backward_kernel<X, F, S>, grid_for(p.threads, kStripThreads),
             kStripThreads, 0, p, from, static_cast<const std::uint8_t*>(index), to);
    };
    if (with_strips<X>(problem, aligned, in_strips)) {
      return;
    }
    visit_tap(problem, [&]<class Tap>(Tap) {
      const bool packs = aligned && sizeof(Tap) <= sizeof(X);  // of the index 16 bytes at most
      visit_sizes<X>(problem, packs, [&]<class Index>(X, auto V, const Pooling<Index>& p) {
        launch(kName, max_backward_kernel<X, V, Index, Tap>, input_grid(p), kThreads, 0, p, from,
               static_cast<const Tap*>(index), to);
      });
    });
  });
}

void avg_pool2d_forward(const Pool2dProblem& problem, bool count_include_pad, const void* x,
                        void* y) {
  visit("avg_pool2d", problem, aligned_for_packs(x, y),
        [&]<class X, class Index>(X, auto V, const Pooling<Index>& p) {
          launch("avg_pool2d", avg_forward_kernel<X, V, Index>, output_grid(p), kThreads, 0, p,
                 count_include_pad, static_cast<const X*>(x), static_cast<X*>(y));
        });
}

void avg_pool2d_backward(const Pool2dProblem& problem, bool count_include_pad, const void* dy,
                         void* dx) {
  visit("avg_pool2d", problem, aligned_for_packs(dy, dx),
        [&]<class X, class Index>(X, auto V, const Pooling<Index>& p) {
          launch("avg_pool2d", avg_backward_kernel<X, V, Index>, input_grid(p), kThreads, 0, p,
                 count_include_pad, static_cast<const X*>(dy), static_cast<X*>(dx));
        });
}

void global_avg_pool2d_forward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                               const void* x, void* y) {
  visit_floating("global_avg_pool2d", dtype, [&]<class X>(X) {
    with_channels<X>(C, aligned_for_packs(x, y), [&](auto V) {
      const std::int64_t blocks = N * ceil_div(C, kLanes * V);
      if (blocks > 0 && pixels <= kSharers) {
        launch("global_avg_pool2d", global_few_kernel<X, V>, grid_for(N * (C / V), kThreads),
               kThreads, 0, N, pixels, C, static_cast<const X*>(x), static_cast<X*>(y));
      } else if (blocks > 0) {
        launch("global_avg_pool2d", global_forward_kernel<X, V>, grid_for(blocks, 1),
               dim3(kLanes, kSharers), 0, N, pixels, C, static_cast<const X*>(x),
               static_cast<X*>(y));
      }
    });
  });
}

void global_avg_pool2d_backward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                                const void* dy, void* dx) {
  visit_floating("global_avg_pool2d", dtype, [&]<class X>(X) {
    with_channels<X>(C, aligned_for_packs(dy, dx), [&](auto V) {
      const std::int64_t count = N * ceil_div(pixels, kRun) * (C / V);
      if (count > 0) {
        launch("global_avg_pool2d", global_backward_kernel<X, V>, grid_for(count, kThreads),
               kThreads, 0, N, pixels, C, static_cast<const X*>(dy), static_cast<X*>(dx));
      }
    });
  });
}

}  // namespace cks::kernels::cuda
