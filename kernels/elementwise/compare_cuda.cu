#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/elementwise_kernel.cuh"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels::cuda {
namespace {

// Chooses in the kernel: every thread goes the same way, and there are 30 fewer kernels to compile
// for each way to broadcast.
struct Compare {
  CompareOp op;

  template <class T>
  __device__ std::uint8_t operator()(T a, T b) const {
    return functors::holds(op, a, b) ? 1 : 0;
  }
};

}  // namespace

void compare(CompareOp op, DType dtype, const BroadcastProblem& problem, const void* a,
             const void* b, std::uint8_t* y) {
  visit_dtype(dtype, [&]<class T>(T) {
    map("compare", Compare{op}, problem, y, static_cast<const T*>(a), static_cast<const T*>(b));
  });
}

void select(DType dtype, const BroadcastProblem& problem, const std::uint8_t* condition,
            const void* a, const void* b, void* y) {
  visit_bits("select", size_of(dtype), [&]<class T>(T) {
    map("select", functors::Select{}, problem, static_cast<T*>(y), condition,
        static_cast<const T*>(a), static_cast<const T*>(b));
  });
}

}  // namespace cks::kernels::cuda
