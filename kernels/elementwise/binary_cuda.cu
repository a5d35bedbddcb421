#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/elementwise_kernel.cuh"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::cuda {

void binary_forward(BinaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
                    const void* b, void* y) {
  visit_floating(name_of(op), dtype, [&]<class T>(T) {
    functors::visit_binary(op, [&](auto function) {
      map(name_of(op), of_elements<T>(function), problem, static_cast<T*>(y),
          static_cast<const T*>(a), static_cast<const T*>(b));
    });
  });
}

void ternary(TernaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
             const void* b, const void* c, void* y) {
  visit_floating("ternary", dtype, [&]<class T>(T) {
    functors::visit_ternary(op, [&](auto function) {
      map("ternary", of_elements<T>(function), problem, static_cast<T*>(y),
          static_cast<const T*>(a), static_cast<const T*>(b), static_cast<const T*>(c));
    });
  });
}

}  // namespace cks::kernels::cuda
