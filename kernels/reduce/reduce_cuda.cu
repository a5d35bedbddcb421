#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/reduce/functors_impl.h"
#include "cks/kernels/reduce/layout.cuh"
#include "cks/kernels/reduce/reduce.h"

namespace cks::kernels::cuda {
namespace {

/// What is reduced: elements as they lie in memory. A source loads a pack, and then says what it
/// comes to, so that many loads are in flight.
template <class T>
struct Given {
  using Element = T;
  static constexpr int kLoads = 4;  // in flight for every thread
  template <int V>
  using Loaded = Pack<T, V>;
  const T* x;

  bool is_aligned() const { return aligned_for_packs(x); }
  template <int V>
  __device__ __forceinline__ Loaded<V> load(std::int64_t at) const {
    return load_pack<V>(x + at);
  }
  template <int V>
  __device__ __forceinline__ Pack<T, V> value(const Loaded<V>& loaded, std::int64_t /*at*/) const {
    return loaded;
  }
};

/// dY behind an activation whose result was Y, which is stored on the way. Each element is loaded
/// once.
template <class T>
struct Masked {
  using Element = T;
  static constexpr int kLoads = sizeof(T) == 2 ? 4 : 2;  // of both; registers hold no more
  template <int V>
  struct Loaded {
    Pack<T, V> dy, y;
  };
  using Wide = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;
  const T* dy;
  const T* y;
  T* masked;
  Wide slope;

  bool is_aligned() const { return aligned_for_packs(dy, y, masked); }
  template <int V>
  __device__ __forceinline__ Loaded<V> load(std::int64_t at) const {
    return {load_pack<V>(dy + at), load_pack<V>(y + at)};
  }
  template <int V>
  __device__ __forceinline__ Pack<T, V> value(const Loaded<V>& loaded, std::int64_t at) const {
    Pack<T, V> pack;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      pack[j] =
          narrowed<T>(kernels::masked(widen<Wide>(loaded.dy[j]), widen<Wide>(loaded.y[j]), slope));
    }
    store_pack<V>(masked + at, pack);
    return pack;
  }
};

/// Takes packs at, at + step, ... of the `n` a lane owns, in their order.
template <class R, int V, class Source>
__device__ __forceinline__ void take_packs(typename R::Partial (&partials)[V], const Source& source,
                                           std::int64_t at, std::int64_t step, std::int64_t n) {
  const auto take = [&](const typename Source::template Loaded<V>& loaded, std::int64_t from) {
    const auto pack = source.template value<V>(loaded, from);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      partials[j] = R::take(partials[j], pack[j]);
    }
  };
  constexpr int kLoads = Source::kLoads;
  std::int64_t k = 0;
  for (; k + kLoads <= n; k += kLoads) {
    typename Source::template Loaded<V> loaded[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      loaded[i] = source.template load<V>(at + (k + i) * step);
    }
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      take(loaded[i], at + (k + i) * step);
    }
  }
  for (; k < n; ++k) {
    take(source.template load<V>(at + k * step), at + k * step);
  }
}

/// Elements k, k + lanes, ... below n.
__device__ __forceinline__ std::int64_t share_of(std::int64_t n, int lane, int lanes) {
  return lane < n ? ceil_div(n - lane, lanes) : 0;
}

/// y [outer, chunks, inner] = scale * the reduction of each chunk. V elements of a pack are
/// neighbouring outputs, or with Rows (inner is 1) neighbours in the reduced row. Lanes are joined
/// as a tree, so that the order of a sum follows from the layout alone.
template <class R, int V, bool Rows, class Source, class Out>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_kernel(ReduceLayout layout, double scale, Source source, Out* y) {
  begin_kernel();
  using Partial = typename R::Partial;
  constexpr int kResults = Rows ? 1 : V;
  __shared__ Partial shared[kResults][kReduceThreads];

  const ReducePlace place = place_of<Rows>(layout);
  const std::int64_t first = blockIdx.y * layout.chunk;
  const std::int64_t n = min(layout.chunk, layout.count - first);
  const std::int64_t output = place.output * kResults;
  const std::int64_t outer = Rows ? output : outer_of(layout, output);
  const std::int64_t column = output - outer * layout.inner;  // 0 for rows

  Partial partials[V];
#pragma unroll
  for (int j = 0; j < V; ++j) {
    partials[j] = R::kStart;
  }
  if (place.is_active) {
    const std::int64_t at = (outer * layout.count + first) * layout.inner + column;
    if (Rows) {
      const std::int64_t packs = n / V;
      take_packs<R>(partials, source, at + place.lane * V, std::int64_t{V} * layout.lanes,
                    share_of(packs, place.lane, layout.lanes));
      for (std::int64_t k = packs * V + place.lane; k < n; k += layout.lanes) {
        const auto one = source.template value<1>(source.template load<1>(at + k), at + k);
        partials[0] = R::take(partials[0], one[0]);
      }
#pragma unroll
      for (int j = 1; j < V; ++j) {
        partials[0] = R::join(partials[0], partials[j]);
      }
    } else {
      take_packs<R>(partials, source, at + place.lane * layout.inner, layout.lanes * layout.inner,
                    share_of(n, place.lane, layout.lanes));
    }
  }

#pragma unroll
  for (int j = 0; j < kResults; ++j) {
    shared[j][threadIdx.x] = partials[j];
  }
  __syncthreads();
  for (int half = layout.half; half > 0; half /= 2) {
    if (place.is_active && place.lane < half && place.lane + half < layout.lanes) {
      const int other = static_cast<int>(threadIdx.x) + half * place.stride;
#pragma unroll
      for (int j = 0; j < kResults; ++j) {
        shared[j][threadIdx.x] = R::join(shared[j][threadIdx.x], shared[j][other]);
      }
    }
    __syncthreads();
  }
  if (place.is_active && place.lane == 0) {
    Out* to = y + (outer * gridDim.y + blockIdx.y) * layout.inner + column;
#pragma unroll
    for (int j = 0; j < kResults; ++j) {
      to[j] = static_cast<Out>(scale * static_cast<double>(shared[j][threadIdx.x]));
    }
  }
}

template <class R, int V, bool Rows, class Source, class Out>
void launch_as(const char* operation, const ReduceProblem& problem, const ReduceCut& cut,
               double scale, const Source& source, Out* y) {
  const ReduceLayout layout = make_layout(problem, cut, Rows ? 1 : V, V);
  launch(operation, reduce_kernel<R, V, Rows, Source, Out>, grid_of(layout, cut),
         threads_of(layout), 0, layout, scale, source, y);
}

/// The widest packs that the extents and the addresses allow.
template <class R, class Source, class Out>
void launch_reduce(const char* operation, const ReduceProblem& problem, const ReduceCut& cut,
                   double scale, const Source& source, Out* y) {
  using In = typename Source::Element;
  const int pack = source.is_aligned() ? pack_size(problem, sizeof(In)) : 1;
  constexpr int kWidest = kPackSize<In>;
  if (problem.inner == 1) {
    if (pack == kWidest) {
      launch_as<R, kWidest, true>(operation, problem, cut, scale, source, y);
    } else {
      launch_as<R, 1, true>(operation, problem, cut, scale, source, y);
    }
  } else if (pack == kWidest) {
    launch_as<R, kWidest, false>(operation, problem, cut, scale, source, y);
  } else if (kWidest > 4 && pack == 4) {
    launch_as<R, std::min(kWidest, 4), false>(operation, problem, cut, scale, source, y);
  } else if (kWidest > 2 && pack == 2) {
    launch_as<R, 2, false>(operation, problem, cut, scale, source, y);
  } else {
    launch_as<R, 1, false>(operation, problem, cut, scale, source, y);
  }
}

/// In one launch where blocks are short or many, else in two: R over chunks, Join over theirs.
template <class R, class Join, class Source, class Out>
void run(const char* operation, const ReduceProblem& problem, double scale, const Source& source,
         Out* y, void* workspace) {
  using Partial = typename R::Partial;
  if (problem.outer * problem.inner == 0) {
    return;
  }
  const ReduceCut cut = cut_of(problem, sizeof(typename Source::Element));
  if (cut.chunks == 1) {
    return launch_reduce<R>(operation, problem, cut, scale, source, y);
  }
  Partial* partials = static_cast<Partial*>(workspace);
  launch_reduce<R>(operation, problem, cut, 1.0, source, partials);
  ReduceProblem rest = problem;
  rest.count = cut.chunks;
  launch_reduce<Join>(operation, rest, {rest.count, 1}, scale, Given<Partial>{partials}, y);
}

}  // namespace

std::size_t reduce_workspace_bytes(const ReduceProblem& problem) {
  const ReduceCut cut = cut_of(problem, size_of(problem.dtype));
  return cut.chunks == 1 ? 0
                         : static_cast<std::size_t>(problem.outer * cut.chunks * problem.inner) *
                               sizeof(double);
}

std::size_t sum_of_squares_workspace_bytes(std::int64_t count) {
  return std::max(reduce_workspace_bytes({1, count, 1, DType::float32}),
                  reduce_workspace_bytes({1, count, 1, DType::float64}));
}

void reduce(ReduceOp op, const ReduceProblem& problem, double scale, const void* x, void* y,
            void* workspace) {
  if (op == ReduceOp::sum) {
    visit_floating("reduce", problem.dtype, [&]<class T>(T) {
      visit_real("reduce", problem.result, [&]<class Result>(Result) {
        run<functors::Sum<T>, functors::Sum<double>>("reduce", problem, scale,
                                                     Given<T>{static_cast<const T*>(x)},
                                                     static_cast<Result*>(y), workspace);
      });
    });
  } else {
    visit_real("reduce", problem.dtype, [&]<class T>(T) {
      run<functors::Max<T>, functors::Max<T>>("reduce", problem, scale,
                                              Given<T>{static_cast<const T*>(x)},
                                              static_cast<T*>(y), workspace);
    });
  }
}

void masked_sum(const ReduceProblem& problem, double slope, const void* dy, const void* y,
                void* masked, void* sums, void* workspace) {
  visit_floating("masked_sum", problem.dtype, [&]<class T>(T) {
    const Masked<T> source{static_cast<const T*>(dy), static_cast<const T*>(y),
                           static_cast<T*>(masked), static_cast<typename Masked<T>::Wide>(slope)};
    visit_real("masked_sum", problem.result, [&]<class Result>(Result) {
      run<functors::Sum<T>, functors::Sum<double>>("masked_sum", problem, 1.0, source,
                                                   static_cast<Result*>(sums), workspace);
    });
  });
}

void sum_of_squares(DType dtype, std::int64_t count, const void* x, double* result,
                    void* workspace) {
  visit_real("sum_of_squares", dtype, [&]<class T>(T) {
    run<functors::SumOfSquares<T>, functors::Sum<double>>("sum_of_squares", {1, count, 1, dtype},
                                                          1.0, Given<T>{static_cast<const T*>(x)},
                                                          result, workspace);
  });
}

}  // namespace cks::kernels::cuda
