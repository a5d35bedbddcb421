#include "cks/kernels/bce_with_logits/bce_with_logits.h"
#include "cks/kernels/bce_with_logits/formulas_impl.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks::kernels {
namespace {

/// y = function(x...), element by element.
template <class Function, class Y, class... X>
void map(std::int64_t count, Function function, Y* y, const X*... x) {
  parallel_for_each(count, 4096, [=](std::int64_t i) { y[i] = function(x[i]...); });
}

}  // namespace

namespace CKS_CPU {

void bce_with_logits_forward(DType dtype, std::int64_t count, const void* x, const void* t,
                             void* y) {
  const auto run = [=](const auto* from, const auto* target, auto* to) {
    map(count, BceLoss{}, to, from, target);
  };
  visit_real_elements("bce_with_logits", dtype, run, x, t, y);
}

void bce_with_logits_backward(DType dtype, std::int64_t count, const void* x, const void* t,
                              const void* dy, void* dx) {
  const auto run = [=](const auto* from, const auto* target, const auto* gradient, auto* to) {
    map(count, BceGradient{}, to, from, target, gradient);
  };
  visit_real_elements("bce_with_logits", dtype, run, x, t, dy, dx);
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
