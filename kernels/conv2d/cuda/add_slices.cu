// The second stage of split sums: partial results of slices, added in a fixed order.
#include "cks/kernels/common/launch.cuh"
#include "cks/kernels/conv2d/cuda/cost.h"
#include "cks/kernels/conv2d/cuda/kernels.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kElements = 32;  // of a block; neighbours in memory
constexpr int kSharers = 16;   // threads that share the slices of an element

/// Each sharer adds every kSharers-th slice; then the sharers' sums are added in order. One thread
/// alone would wait for its loads slice after slice.
template <class T>
__global__ void __launch_bounds__(kElements* kSharers)
    add_slices_kernel(const T* partial, T* out, std::int64_t size, std::int64_t slices) {
  begin_kernel();
  __shared__ T sums[kSharers][kElements];
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kElements; first < size;
       first += static_cast<std::int64_t>(gridDim.x) * kElements) {
    const std::int64_t i = first + threadIdx.x;
    T sum{0};
    if (i < size) {
#pragma unroll 4
      for (std::int64_t s = threadIdx.y; s < slices; s += kSharers) {
        sum += partial[s * size + i];
      }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && i < size) {
#pragma unroll
      for (int other = 1; other < kSharers; ++other) {
        sum += sums[other][threadIdx.x];
      }
      out[i] = sum;
    }
    __syncthreads();
  }
}

/// A thread for an element: where slices are few.
template <class T>
__global__ void add_few_slices_kernel(const T* partial, T* out, std::int64_t size,
                                      std::int64_t slices) {
  begin_kernel();
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride) {
    T sum = partial[i];
#pragma unroll 4
    for (std::int64_t s = 1; s < slices; ++s) {
      sum += partial[s * size + i];
    }
    out[i] = sum;
  }
}

template <class T>
void run(const T* partial, T* out, std::int64_t size, std::int64_t slices) {
  if (slices < kSharers) {
    launch("sk_dilated", add_few_slices_kernel<T>, grid_for(size, 256), 256, 0, partial, out, size,
           slices);
  } else {
    launch("sk_dilated", add_slices_kernel<T>, grid_for(size, kElements), dim3(kElements, kSharers),
           0, partial, out, size, slices);
  }
}

}  // namespace

void add_gradient_slices(const PreparedConv2d& conv, const Conv2dOperands& operands) {
  if (conv.plan.split_k > 1) {
    visit_real("sk_dilated", conv.problem.w_type, [&]<class T>(T) {
      run(static_cast<const T*>(operands.workspace), static_cast<T*>(operands.result),
          filter_size(conv.problem), conv.plan.split_k);
    });
  }
}

}  // namespace cks::kernels::cuda
