#include "cks/kernels/common/multi_tensor.cuh"
#include "cks/kernels/common/pack.cuh"
#include "cks/kernels/elementwise/convert_impl.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/elementwise_kernel.cuh"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::cuda {
namespace {

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};

constexpr int kMaxTensors = 128;  // kernel parameters hold 4 KB

struct RoundedTensors {
  const float* x[kMaxTensors];
  bfloat16* y[kMaxTensors];
  std::int64_t size[kMaxTensors];
  std::int64_t stretch;  // elements of a block
  int first_block[kMaxTensors + 1];
  int count;
};
static_assert(sizeof(RoundedTensors) <= 4000 && kMaxTensors <= kListThreads);

__global__ void __launch_bounds__(kListThreads)
    round_tensors_kernel(const __grid_constant__ RoundedTensors p) {
  begin_kernel();
  const int tensor = dealt_tensor(p);
  const float* x = p.x[tensor];
  bfloat16* y = p.y[tensor];
  const auto [begin, end] = stretch_of(p, tensor, static_cast<int>(blockIdx.x));
  constexpr int V = kPackSize<float>;
  std::int64_t rest = begin;  // begins at a multiple of V elements
  if ((reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(y)) % 16 == 0) {
    rest = end - (end - begin) % V;
    for (std::int64_t i = begin + threadIdx.x * V; i < rest; i += kListThreads * V) {
      const Pack<float, V> value = load_pack<V>(x + i);
      Pack<bfloat16, V> rounded;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        rounded[v] = functors::convert_element<bfloat16>(value[v]);
      }
      store_pack<V>(y + i, rounded);
    }
  }
  for (std::int64_t i = rest + threadIdx.x; i < end; i += kListThreads) {
    y[i] = functors::convert_element<bfloat16>(x[i]);
  }
}

}  // namespace

void fill(DType dtype, std::int64_t count, double value, void* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    map_dense("fill", Constant<T>{functors::convert_element<T>(value)}, count, static_cast<T*>(y));
  });
}

void convert(DType from, DType to, std::int64_t count, const void* x, void* y) {
  if (from == to) {
    return visit_bits("convert", size_of(from), [&]<class T>(T) {
      map_dense("convert", functors::Convert<T>{}, count, static_cast<T*>(y),
                static_cast<const T*>(x));
    });
  }
  visit_dtype(from, [&]<class From>(From) {
    visit_dtype(to, [&]<class To>(To) {
      if constexpr (!std::is_same_v<From, To>) {
        map_dense("convert", functors::Convert<To>{}, count, static_cast<To*>(y),
                  static_cast<const From*>(x));
      }
    });
  });
}

void round_tensors(const RoundedTensor* tensors, std::int64_t count) {
  const auto add = [&](RoundedTensors& list, int at, std::int64_t i) {
    list.x[at] = tensors[i].x;
    list.y[at] = tensors[i].y;
    list.size[at] = tensors[i].count;
    return tensors[i].count > 0;
  };
  for_lists(RoundedTensors{}, count, add, [](const RoundedTensors& list, int blocks) {
    launch("convert", round_tensors_kernel, static_cast<unsigned>(blocks), kListThreads, 0, list);
  });
}

void accumulate(DType dtype, std::int64_t count, const void* x, void* y, double scale) {
  visit_floating("accumulate", dtype, [&]<class T>(T) {
    map_dense("accumulate",
              functors::Accumulate<T>{static_cast<typename functors::Accumulate<T>::Sum>(scale)},
              count, static_cast<T*>(y), static_cast<const T*>(x), static_cast<const T*>(y));
  });
}

}  // namespace cks::kernels::cuda
