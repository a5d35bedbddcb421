#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/reduce/layout.cuh"
#include "cks/kernels/reduce/reduce.h"

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

}  // namespace cks::kernels::cuda
