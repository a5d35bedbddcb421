#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels {
namespace {

// Elements of one block: a quarter of a second-level cache, so a block costs much more than handing
// it out.
constexpr std::int64_t kGrain = 16384;

}  // namespace

namespace CKS_CPU {

void unary_forward(UnaryOp op, DType dtype, std::int64_t count, const void* x, void* y,
                   UnaryParameters parameters) {
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* out = static_cast<T*>(y);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          out[i] = function(in[i]);
        }
      });
    });
  });
}

void unary_backward(UnaryOp op, DType dtype, std::int64_t count, const void* dy, const void* saved,
                    void* dx, UnaryParameters parameters) {
  const bool saves = unary_saves(op) != UnarySaves::nothing;
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* grad_output = static_cast<const T*>(dy);
    // Functions that save nothing ignore the second argument; dy is something valid to read.
    const T* kept = saves ? static_cast<const T*>(saved) : grad_output;
    T* grad_input = static_cast<T*>(dx);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          grad_input[i] = function.grad(grad_output[i], kept[i]);
        }
      });
    });
  });
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
