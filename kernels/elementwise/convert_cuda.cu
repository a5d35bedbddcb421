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

void accumulate(DType dtype, std::int64_t count, const void* x, void* y, double scale) {
  visit_floating("accumulate", dtype, [&]<class T>(T) {
    map_dense("accumulate",
              functors::Accumulate<T>{static_cast<typename functors::Accumulate<T>::Sum>(scale)},
              count, static_cast<T*>(y), static_cast<const T*>(x), static_cast<const T*>(y));
  });
}

}  // namespace cks::kernels::cuda
