#pragma once
#include <algorithm>
#include <type_traits>

#include "cks/kernels/common/divider.cuh"
#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/elementwise/broadcast.h"

/// One launch for y = f(x...) of any element-wise operation. Private to this room's implementation.
namespace cks::kernels::cuda {

constexpr int kMapThreads = 256;

/// Which operands run along the last axis; the others repeat there.
template <int Operands>
struct MapRuns {
  bool runs[Operands + 1] = {};

  explicit MapRuns(const BroadcastProblem& problem) {
    for (int k = 0; k < Operands; ++k) {
      runs[k] = problem.rank > 0 && problem.strides[k][problem.rank - 1] == 1;
    }
  }
};

/// A problem of one axis or none in device code: nothing is divided.
template <int Operands>
struct FlatWalk : MapRuns<Operands> {
  using Index = std::int64_t;
  using MapRuns<Operands>::MapRuns;

  __device__ __forceinline__ void locate(Index at, Index (&offsets)[Operands + 1]) const {
#pragma unroll
    for (int k = 0; k < Operands; ++k) {
      offsets[k] = this->runs[k] ? at : 0;
    }
  }
};

/// A problem of several axes; 32-bit indices serve results below 2^31 elements.
template <class IndexType, int Operands>
struct AxesWalk : MapRuns<Operands> {
  using Index = IndexType;
  int rank = 0;
  Divider<Index> extents[BroadcastProblem::kMaxRank];
  Index strides[Operands + 1][BroadcastProblem::kMaxRank] = {};

  explicit AxesWalk(const BroadcastProblem& problem)
      : MapRuns<Operands>(problem), rank(problem.rank) {
    for (int axis = 0; axis < rank; ++axis) {
      // The first axis takes what is left over by the others: nothing divides by its extent.
      extents[axis] = Divider<Index>(axis == 0 ? 1 : problem.extents[axis]);
      for (int k = 0; k < Operands; ++k) {
        strides[k][axis] = static_cast<Index>(problem.strides[k][axis]);
      }
    }
  }

  __device__ __forceinline__ void locate(Index at, Index (&offsets)[Operands + 1]) const {
#pragma unroll
    for (int k = 0; k < Operands; ++k) {
      offsets[k] = 0;
    }
    for (int axis = rank - 1; axis > 0; --axis) {
      const Index row = extents[axis].divide(at);
      const Index index = at - row * extents[axis].divisor;
#pragma unroll
      for (int k = 0; k < Operands; ++k) {
        offsets[k] += index * strides[k][axis];
      }
      at = row;
    }
#pragma unroll
    for (int k = 0; k < Operands; ++k) {
      offsets[k] += at * strides[k][0];
    }
  }
};

/// V neighbouring elements of every operand.
template <int V, class... X>
struct Packs {};
template <int V, class First, class... Rest>
struct Packs<V, First, Rest...> {
  Pack<First, V> first;
  Packs<V, Rest...> rest;
};

template <int K, int V, class Walk, class Index>
__device__ __forceinline__ void load_operands(Packs<V>&, const Walk&, const Index*) {}

template <int K, int V, class Walk, class Index, class First, class... Rest>
__device__ __forceinline__ void load_operands(Packs<V, First, Rest...>& packs, const Walk& walk,
                                              const Index* offsets, const First* x,
                                              const Rest*... rest) {
  const First* from = x + offsets[K];
  if (walk.runs[K]) {
    packs.first = load_pack<V>(from);
  } else {
    const First value = *from;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      packs.first[j] = value;
    }
  }
  load_operands<K + 1>(packs.rest, walk, offsets, rest...);
}

/// Operands of result elements [at, at + V).
template <int V, class Walk, class... X>
__device__ __forceinline__ void load_at(Packs<V, X...>& packs, const Walk& walk, std::int64_t at,
                                        const X*... x) {
  typename Walk::Index offsets[sizeof...(X) + 1];
  walk.locate(static_cast<typename Walk::Index>(at), offsets);
  load_operands<0>(packs, walk, offsets, x...);
}

template <int V, class F, class... Values>
__device__ __forceinline__ auto call_at(const F& function, const Packs<V>&, int, Values... values) {
  return function(values...);
}

template <int V, class F, class First, class... Rest, class... Values>
__device__ __forceinline__ auto call_at(const F& function, const Packs<V, First, Rest...>& packs,
                                        int at, Values... values) {
  return call_at(function, packs.rest, at, values..., packs.first[at]);
}

/// A block takes Steps packs of every thread at a time and loads all of them before it stores one:
/// results may be inputs, so the compiler could not move the loads by itself.
template <int V, int Steps, class Walk, class F, class Y, class... X>
__global__ void __launch_bounds__(kMapThreads)
    map_kernel(F function, Walk walk, std::int64_t count, Y* y, const X*... x) {
  begin_kernel();
  const std::int64_t packs = count / V;
  const std::int64_t tile = kMapThreads * Steps;
  for (std::int64_t base = blockIdx.x * tile + threadIdx.x; base < packs;
       base += gridDim.x * tile) {
    Packs<V, X...> in[Steps];
#pragma unroll
    for (int step = 0; step < Steps; ++step) {
      const std::int64_t at = base + step * kMapThreads;
      if (at < packs) {
        load_at(in[step], walk, at * V, x...);
      }
    }
#pragma unroll
    for (int step = 0; step < Steps; ++step) {
      const std::int64_t at = base + step * kMapThreads;
      if (at < packs) {
        Pack<Y, V> out;
#pragma unroll
        for (int j = 0; j < V; ++j) {
          out[j] = call_at(function, in[step], j);
        }
        store_pack(y + at * V, out);
      }
    }
  }
  // What no pack holds: fewer than V elements at the end of a flat problem.
  const std::int64_t last = packs * V + threadIdx.x;
  if (V > 1 && blockIdx.x == 0 && last < count) {
    Packs<1, X...> in;
    load_at(in, walk, last, x...);
    y[last] = call_at(function, in, 0);
  }
}

/// Elements of a pack: 16 bytes of the widest type.
template <class... T>
constexpr int kMapPackSize = 16 / static_cast<int>(std::max({sizeof(T)...}));

template <int V, class Walk, class F, class Y, class... X>
void launch_map(const char* operation, const F& function, const BroadcastProblem& problem, Y* y,
                const X*... x) {
  constexpr int kSteps = V == 1 ? 4 : 2;
  launch(operation, map_kernel<V, kSteps, Walk, F, Y, X...>,
         grid_for(problem.count / V, kMapThreads * kSteps), kMapThreads, 0, function, Walk(problem),
         problem.count, y, x...);
}

/// Whether rows of packs start at multiples of 16 bytes, in every operand that runs.
template <int V, class Y, class... X>
bool takes_packs(const BroadcastProblem& problem, const Y* y, const X*... x) {
  int k = 0;
  const auto fits = [&](const auto* pointer) {
    const bool repeats = problem.rank == 0 || problem.strides[k][problem.rank - 1] == 0;
    ++k;
    return repeats || aligned_for_packs(pointer);
  };
  const bool whole_rows = problem.rank < 2 || problem.extents[problem.rank - 1] % V == 0;
  return whole_rows && aligned_for_packs(y) && (true && ... && fits(x));
}

/// y = function(x...), the operands broadcast as the problem says.
template <class F, class Y, class... X>
void map(const char* operation, const F& function, const BroadcastProblem& problem, Y* y,
         const X*... x) {
  constexpr int kPack = kMapPackSize<Y, X...>;
  if (problem.count == 0) {
    return;
  }
  constexpr int kOperands = sizeof...(X);
  using Flat = FlatWalk<kOperands>;
  using Narrow = AxesWalk<std::uint32_t, kOperands>;
  using Wide = AxesWalk<std::int64_t, kOperands>;
  const bool packs = takes_packs<kPack>(problem, y, x...);
  if (problem.rank < 2) {
    packs ? launch_map<kPack, Flat>(operation, function, problem, y, x...)
          : launch_map<1, Flat>(operation, function, problem, y, x...);
  } else if (problem.count >= std::int64_t{1} << 31) {
    launch_map<1, Wide>(operation, function, problem, y, x...);
  } else {
    packs ? launch_map<kPack, Narrow>(operation, function, problem, y, x...)
          : launch_map<1, Narrow>(operation, function, problem, y, x...);
  }
}

/// The same for `count` elements of dense operands.
template <class F, class Y, class... X>
void map_dense(const char* operation, const F& function, std::int64_t count, Y* y, const X*... x) {
  constexpr int kPack = kMapPackSize<Y, X...>;
  if (count == 0) {
    return;
  }
  BroadcastProblem problem;
  problem.rank = 1;
  problem.operands = sizeof...(X);
  problem.count = count;
  problem.extents[0] = count;
  for (auto& strides : problem.strides) {
    strides[0] = 1;
  }
  if (aligned_for_packs(y, x...)) {
    launch_map<kPack, FlatWalk<sizeof...(X)>>(operation, function, problem, y, x...);
  } else {
    launch_map<1, FlatWalk<sizeof...(X)>>(operation, function, problem, y, x...);
  }
}

/// A function of float32 as one of bfloat16.
template <class F>
struct Rounded {
  F function;

  template <class... T>
  __device__ bfloat16 operator()(T... x) const {
    return bfloat16(function(widen<float>(x)...));
  }
};

/// A function of ComputeType<T> as one of T.
template <class T, class F>
auto of_elements(const F& function) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return Rounded<F>{function};
  } else {
    return function;
  }
}

}  // namespace cks::kernels::cuda
