#include <algorithm>

#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/reduce/layout.cuh"
#include "cks/kernels/reduce/reduce.h"

// argmax and all_finite: what looks for elements instead of adding them.

namespace cks::kernels::cuda {
namespace {

/// An element and where it is; index -1 is none.
template <class T>
struct Candidate {
  T value;
  std::int64_t index;
};

/// Whether `b` goes before `a`: greater, a NaN being the greatest, and of equals the first.
template <class T>
__device__ __forceinline__ bool goes_before(const Candidate<T>& b, const Candidate<T>& a) {
  if (a.index < 0 || b.index < 0) {
    return a.index < 0;
  }
  const bool a_is_nan = a.value != a.value;
  const bool b_is_nan = b.value != b.value;
  if (a_is_nan != b_is_nan) {
    return b_is_nan;
  }
  if (a_is_nan || b.value == a.value) {
    return b.index < a.index;
  }
  return b.value > a.value;
}

template <bool Rows, class T>
__global__ void __launch_bounds__(kReduceThreads)
    argmax_kernel(ReduceLayout layout, const T* x, std::int64_t* y) {
  begin_kernel();
  __shared__ T values[kReduceThreads];
  __shared__ std::int64_t indices[kReduceThreads];
  const ReducePlace place = place_of<Rows>(layout);
  const int thread = static_cast<int>(threadIdx.x);
  Candidate<T> best{T(0), -1};
  if (place.is_active) {
    const std::int64_t outer = Rows ? place.output : outer_of(layout, place.output);
    const std::int64_t column = place.output - outer * layout.inner;
    const T* from = x + outer * layout.count * layout.inner + column;
#pragma unroll 4
    for (std::int64_t k = place.lane; k < layout.count; k += layout.lanes) {
      const Candidate<T> here{from[k * layout.inner], k};
      if (goes_before(here, best)) {
        best = here;
      }
    }
  }
  values[thread] = best.value;
  indices[thread] = best.index;
  __syncthreads();
  for (int half = layout.half; half > 0; half /= 2) {
    if (place.is_active && place.lane < half && place.lane + half < layout.lanes) {
      const int other = thread + half * place.stride;
      const Candidate<T> there{values[other], indices[other]};
      if (goes_before(there, best)) {
        best = there;
        values[thread] = best.value;
        indices[thread] = best.index;
      }
    }
    __syncthreads();
  }
  if (place.is_active && place.lane == 0) {
    y[place.output] = best.index;
  }
}

__global__ void set_flag_kernel(std::uint8_t* flag) {
  begin_kernel();
  *flag = 1;
}

/// x - x is 0 for a finite x and NaN otherwise.
template <int V, class T>
__device__ __forceinline__ bool is_finite(const Pack<T, V>& pack) {
  bool finite = true;
#pragma unroll
  for (int j = 0; j < V; ++j) {
    finite = finite && pack.lane[j] - pack.lane[j] == T(0);
  }
  return finite;
}

/// One block writes its answer; blocks of many only ever write 0, all the same.
template <int V, class T>
__global__ void __launch_bounds__(kReduceThreads)
    all_finite_kernel(std::int64_t count, const T* x, std::uint8_t* result) {
  begin_kernel();
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t packs = count / V;
  bool finite = true;
#pragma unroll 4
  for (std::int64_t i = thread; i < packs; i += step) {
    finite = is_finite(load_pack<V>(x + i * V)) && finite;
  }
  for (std::int64_t i = packs * V + thread; i < count; i += step) {
    finite = is_finite(load_pack<1>(x + i)) && finite;
  }
  const bool all = __syncthreads_and(finite ? 1 : 0) != 0;
  if (threadIdx.x == 0 && (gridDim.x == 1 || !all)) {
    *result = all ? 1 : 0;
  }
}

}  // namespace

void argmax(const ReduceProblem& problem, const void* x, std::int64_t* y) {
  visit_real("argmax", problem.dtype, [&]<class T>(T) {
    if (problem.outer * problem.inner == 0) {
      return;
    }
    const ReduceCut whole{problem.count, 1};
    const ReduceLayout layout = make_layout(problem, whole, 1, 1);
    launch("argmax", problem.inner == 1 ? argmax_kernel<true, T> : argmax_kernel<false, T>,
           grid_of(layout, whole), threads_of(layout), 0, layout, static_cast<const T*>(x), y);
  });
}

void all_finite(DType dtype, std::int64_t count, const void* x, std::uint8_t* result) {
  constexpr std::int64_t kAlone = 16384;  // elements that one block sees before a second launch is
  constexpr std::int64_t kBlocks = 1024;
  visit_real("all_finite", dtype, [&]<class T>(T) {
    const std::int64_t work = ceil_div<std::int64_t>(count, 2 * kPackLanes<T>);
    const unsigned blocks = count <= kAlone ? 1 : grid_for(work, kReduceThreads, kBlocks);
    if (blocks > 1) {
      launch("all_finite", set_flag_kernel, 1, 1, 0, result);
    }
    launch("all_finite",
           aligned_for_packs(x) ? all_finite_kernel<kPackLanes<T>, T> : all_finite_kernel<1, T>,
           blocks, kReduceThreads, 0, count, static_cast<const T*>(x), result);
  });
}

}  // namespace cks::kernels::cuda
