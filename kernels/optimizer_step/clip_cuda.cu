// The norm of all gradients on a GPU: each block adds up a stretch of one of them, one more block
// adds the blocks' sums, both in a fixed order.
#include "cks/kernels/common/multi_tensor.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/optimizer_step/clip.h"

namespace cks::kernels::cuda {
namespace {

constexpr int kThreads = kListThreads;
constexpr int kMaxTensors = 160;  // kernel parameters hold 4 KB

template <class T>
struct Gradients {
  const T* x[kMaxTensors];
  std::int64_t size[kMaxTensors];
  std::int64_t stretch;
  int first_block[kMaxTensors + 1];
  int count;
};
static_assert(sizeof(Gradients<float>) <= 4000, "fits into 4 KB");

/// The sum of what each thread brings, for thread 0: a tree of fixed shape.
__device__ double sum_of_block(double value) {
  __shared__ double shared[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  shared[thread] = value;
  __syncthreads();
#pragma unroll
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (thread < half) {
      shared[thread] += shared[thread + half];
    }
    __syncthreads();
  }
  return shared[0];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    square_sums_kernel(const __grid_constant__ Gradients<T> p, double* sums) {
  begin_kernel();
  const int block = static_cast<int>(blockIdx.x);
  const int tensor = dealt_tensor(p);
  const T* x = p.x[tensor];
  const auto [begin, end] = stretch_of(p, tensor, block);
  constexpr int V = kPackSize<T>;
  const bool packs = reinterpret_cast<std::uintptr_t>(x) % 16 == 0;
  double sum = 0.0;
  // A thread takes the same elements whether it reads them together or one by one.
  for (std::int64_t i = begin + threadIdx.x * V; i < end; i += kThreads * V) {
    Pack<T, V> pack{};
    if (packs && i + V <= end) {
      pack = load_pack<V>(x + i);
    } else {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (i + v < end) {
          pack[v] = x[i + v];
        }
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const auto value = static_cast<double>(pack[v]);
      sum += value * value;
    }
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) {
    sums[block] = sum;
  }
}

__global__ void __launch_bounds__(kThreads)
    clip_factor_kernel(const double* sums, std::int64_t count, double max_norm, double* norm,
                       double* factor) {
  begin_kernel();
  double sum = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
    sum += sums[i];
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) {
    *norm = sqrt(sum);
    *factor = clip_ratio(*norm, max_norm);
  }
}

/// Calls body(list, blocks) for every kMaxTensors gradients of elements T.
template <class T, class Body>
void for_lists_of(const NormTensor* tensors, std::int64_t count, const Body& body) {
  const auto add = [&](Gradients<T>& list, int at, std::int64_t i) {
    list.x[at] = static_cast<const T*>(tensors[i].x);
    list.size[at] = tensors[i].count;
    return tensors[i].dtype == dtype_of<T>() && tensors[i].count > 0;
  };
  for_lists(Gradients<T>{}, count, add, body);
}

}  // namespace

std::size_t gradient_norm_workspace_bytes(const NormTensor* tensors, std::int64_t count) {
  std::size_t sums = 0;
  const auto add = [&](const auto&, int blocks) { sums += static_cast<std::size_t>(blocks); };
  for_lists_of<float>(tensors, count, add);
  for_lists_of<double>(tensors, count, add);
  return sums * sizeof(double);
}

void gradient_norm(const NormTensor* tensors, std::int64_t count, double max_norm, double* norm,
                   double* factor, void* workspace) {
  for (std::int64_t i = 0; i < count; ++i) {
    visit_real("gradient_norm", tensors[i].dtype, [](auto) {});
  }
  auto* sums = static_cast<double*>(workspace);
  std::int64_t done = 0;
  const auto add = [&]<class T>(const Gradients<T>& list, int blocks) {
    launch("gradient_norm", square_sums_kernel<T>, static_cast<unsigned>(blocks), kThreads, 0, list,
           sums + done);
    done += blocks;
  };
  for_lists_of<float>(tensors, count, add);
  for_lists_of<double>(tensors, count, add);
  launch("gradient_norm", clip_factor_kernel, 1, kThreads, 0, sums, done, max_norm, norm, factor);
}

}  // namespace cks::kernels::cuda
