#include "cks/kernels/bce_with_logits/bce_with_logits.h"
#include "cks/kernels/bce_with_logits/formulas_impl.h"
#include "cks/kernels/elementwise/elementwise_kernel.cuh"

namespace cks::kernels::cuda {

void bce_with_logits_forward(DType dtype, std::int64_t count, const void* x, const void* t,
                             void* y) {
  const auto run = [=]<class T>(const T* from, const T* target, T* to) {
    map_dense("bce_with_logits", BceLoss{}, count, to, from, target);
  };
  visit_real_elements("bce_with_logits", dtype, run, x, t, y);
}

void bce_with_logits_backward(DType dtype, std::int64_t count, const void* x, const void* t,
                              const void* dy, void* dx) {
  const auto run = [=]<class T>(const T* from, const T* target, const T* gradient, T* to) {
    map_dense("bce_with_logits", BceGradient{}, count, to, from, target, gradient);
  };
  visit_real_elements("bce_with_logits", dtype, run, x, t, dy, dx);
}

}  // namespace cks::kernels::cuda
