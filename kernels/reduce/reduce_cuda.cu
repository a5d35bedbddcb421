#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/reduce/functors_impl.h"
#include "cks/kernels/reduce/layout.cuh"
#include "cks/kernels/reduce/reduce.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kLoads = 4;  // in flight for every thread

/// Takes as many elements as are loaded at a time. Of bfloat16 their sum in float32 becomes
/// float64, not each of them, which takes longer than loading them. (Four beyond 8e37 may
/// overflow.)
template <class R, int V, class In>
__device__ __forceinline__ typename R::Partial take_loads(typename R::Partial partial,
                                                          const Pack<In, V> (&packs)[kLoads],
                                                          int j) {
  if constexpr (std::is_same_v<In, bfloat16>) {
    static_assert(std::is_same_v<R, functors::Sum<bfloat16>>, "nothing else takes bfloat16");
    float sum = widen<float>(packs[0][j]);
#pragma unroll
    for (int i = 1; i < kLoads; ++i) {
      sum += widen<float>(packs[i][j]);
    }
    return R::join(partial, static_cast<double>(sum));
  } else {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      partial = R::take(partial, packs[i][j]);
    }
    return partial;
  }
}

/// Takes packs from, from + step, ... of the `n` a lane owns, in their order.
template <class R, int V, class In>
__device__ __forceinline__ void take_packs(typename R::Partial (&partials)[V], const In* from,
                                           std::int64_t step, std::int64_t n) {
  std::int64_t k = 0;
  for (; k + kLoads <= n; k += kLoads) {
    Pack<In, V> packs[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      packs[i] = load_pack<V>(from + (k + i) * step);
    }
#pragma unroll
    for (int j = 0; j < V; ++j) {
      partials[j] = take_loads<R>(partials[j], packs, j);
    }
  }
  for (; k < n; ++k) {
    const Pack<In, V> pack = load_pack<V>(from + k * step);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      partials[j] = R::take(partials[j], pack[j]);
    }
  }
}

/// Elements k, k + lanes, ... below n.
__device__ __forceinline__ std::int64_t share_of(std::int64_t n, int lane, int lanes) {
  return lane < n ? ceil_div(n - lane, lanes) : 0;
}

/// y [outer, chunks, inner] = scale * the reduction of each chunk. V elements of a pack are
/// neighbouring outputs, or with Rows (inner is 1) neighbours in the reduced row. Lanes are joined
/// as a tree, so that the order of a sum follows from the layout alone.
template <class R, int V, bool Rows, class In, class Out>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_kernel(ReduceLayout layout, double scale, const In* x, Out* y) {
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
    const In* from = x + (outer * layout.count + first) * layout.inner + column;
    if (Rows) {
      const std::int64_t packs = n / V;
      take_packs<R>(partials, from + place.lane * V, std::int64_t{V} * layout.lanes,
                    share_of(packs, place.lane, layout.lanes));
      for (std::int64_t k = packs * V + place.lane; k < n; k += layout.lanes) {
        partials[0] = R::take(partials[0], from[k]);
      }
#pragma unroll
      for (int j = 1; j < V; ++j) {
        partials[0] = R::join(partials[0], partials[j]);
      }
    } else {
      take_packs<R>(partials, from + place.lane * layout.inner, layout.lanes * layout.inner,
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

template <class R, int V, bool Rows, class In, class Out>
void launch_as(const char* operation, const ReduceProblem& problem, const ReduceCut& cut,
               double scale, const In* x, Out* y) {
  const ReduceLayout layout = make_layout(problem, cut, Rows ? 1 : V, V);
  launch(operation, reduce_kernel<R, V, Rows, In, Out>, grid_of(layout, cut), threads_of(layout), 0,
         layout, scale, x, y);
}

/// The widest packs that the extents and the address allow.
template <class R, class In, class Out>
void launch_reduce(const char* operation, const ReduceProblem& problem, const ReduceCut& cut,
                   double scale, const In* x, Out* y) {
  const int pack = aligned_for_packs(x) ? pack_size(problem, sizeof(In)) : 1;
  constexpr int kWidest = kPackSize<In>;
  const auto launch_rows =
      pack == kWidest ? launch_as<R, kWidest, true, In, Out> : launch_as<R, 1, true, In, Out>;
  const auto launch_columns = pack == kWidest ? launch_as<R, kWidest, false, In, Out>
                              : kWidest > 4 && pack == 4
                                  ? launch_as<R, std::min(kWidest, 4), false, In, Out>
                              : kWidest > 2 && pack == 2 ? launch_as<R, 2, false, In, Out>
                                                         : launch_as<R, 1, false, In, Out>;
  const auto launch_packs = problem.inner == 1 ? launch_rows : launch_columns;
  launch_packs(operation, problem, cut, scale, x, y);
}

/// In one launch where blocks are short or many, else in two: R over chunks, Join over theirs.
template <class R, class Join, class In, class Out>
void run(const char* operation, const ReduceProblem& problem, double scale, const In* x, Out* y,
         void* workspace) {
  using Partial = typename R::Partial;
  if (problem.outer * problem.inner == 0) {
    return;
  }
  const ReduceCut cut = cut_of(problem, sizeof(In));
  if (cut.chunks == 1) {
    return launch_reduce<R>(operation, problem, cut, scale, x, y);
  }
  Partial* partials = static_cast<Partial*>(workspace);
  launch_reduce<R>(operation, problem, cut, 1.0, x, partials);
  ReduceProblem rest = problem;
  rest.count = cut.chunks;
  launch_reduce<Join>(operation, rest, {rest.count, 1}, scale,
                      static_cast<const Partial*>(partials), y);
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
        run<functors::Sum<T>, functors::Sum<double>>(
            "reduce", problem, scale, static_cast<const T*>(x), static_cast<Result*>(y), workspace);
      });
    });
  } else {
    visit_real("reduce", problem.dtype, [&]<class T>(T) {
      run<functors::Max<T>, functors::Max<T>>("reduce", problem, scale, static_cast<const T*>(x),
                                              static_cast<T*>(y), workspace);
    });
  }
}

void sum_of_squares(DType dtype, std::int64_t count, const void* x, double* result,
                    void* workspace) {
  visit_real("sum_of_squares", dtype, [&]<class T>(T) {
    run<functors::SumOfSquares<T>, functors::Sum<double>>(
        "sum_of_squares", {1, count, 1, dtype}, 1.0, static_cast<const T*>(x), result, workspace);
  });
}

}  // namespace cks::kernels::cuda
