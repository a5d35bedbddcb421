#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/elementwise_kernel.cuh"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::cuda {
namespace {

struct NarrowGelu {
  __device__ float operator()(float x) const { return narrow_gelu(x); }
  __device__ float grad(float dy, float saved) const { return dy * narrow_gelu_slope(saved); }
};

/// What computes a function of ComputeType<T> where its result is one of T.
template <class T, class F>
auto fine_enough_for(const F& function) {
  if constexpr (std::is_same_v<T, bfloat16> &&
                std::is_same_v<F, functors::Unary<UnaryOp::gelu, float>>) {
    return NarrowGelu{};
  } else {
    return function;
  }
}

template <class F>
struct Gradient {
  F function;

  template <class T>
  __device__ T operator()(T dy, T saved) const {
    return function.grad(dy, saved);
  }
};

}  // namespace

void unary_forward(UnaryOp op, DType dtype, std::int64_t count, const void* x, void* y,
                   UnaryParameters parameters) {
  visit_floating(name_of(op), dtype, [&]<class T>(T) {
    functors::visit_unary<ComputeType<T>>(op, parameters, [&](const auto& exact) {
      map_dense(name_of(op), of_elements<T>(fine_enough_for<T>(exact)), count, static_cast<T*>(y),
                static_cast<const T*>(x));
    });
  });
}

void unary_backward(UnaryOp op, DType dtype, std::int64_t count, const void* dy, const void* saved,
                    void* dx, UnaryParameters parameters) {
  // Functions that save nothing ignore the second operand, and the compiler drops its load.
  const void* kept = unary_saves(op) == UnarySaves::nothing ? dy : saved;
  visit_floating(name_of(op), dtype, [&]<class T>(T) {
    functors::visit_unary<ComputeType<T>>(op, parameters, [&](const auto& exact) {
      const auto function = fine_enough_for<T>(exact);
      map_dense(name_of(op), of_elements<T>(Gradient<decltype(function)>{function}), count,
                static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(kept));
    });
  });
}

}  // namespace cks::kernels::cuda
