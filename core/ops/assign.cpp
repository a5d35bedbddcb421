#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"

// +=, -=, *= and /=.

namespace cks {
namespace {

/// Makes the tensor what was computed from it.
Tensor& assign(const char* operation, Tensor& target, const Tensor& result) {
  if (!(result.shape() == target.shape())) {
    throw ShapeError(formatted("{}: the result has shape {}, the tensor {}", operation,
                               result.shape(), target.shape()));
  }
  if (result.is_leaf()) {  // nothing was recorded
    return target.copy_(result);
  }
  TensorImpl& impl = *target.impl();
  if (impl.requires_grad) {
    throw AutogradError(
        formatted("{}: the tensor is a leaf that requires a gradient; write under NoGradGuard, or "
                  "make a new tensor (shape {})",
                  operation, impl.shape));
  }
  if (impl.is_part || impl.storage->bytes() != target.nbytes()) {
    throw AutogradError(
        formatted("{}: the tensor is a part of another one, which would not change with it; make "
                  "a new tensor (shape {})",
                  operation, impl.shape));
  }
  impl.storage = result.storage();
  impl.offset = result.storage_offset();
  impl.node = result.grad_node();
  impl.gradient = nullptr;
  return target;
}

}  // namespace

Tensor& operator+=(Tensor& a, const Tensor& b) { return assign("+=", a, a + b); }
Tensor& operator-=(Tensor& a, const Tensor& b) { return assign("-=", a, a - b); }
Tensor& operator*=(Tensor& a, const Tensor& b) { return assign("*=", a, a * b); }
Tensor& operator/=(Tensor& a, const Tensor& b) { return assign("/=", a, a / b); }
Tensor& operator+=(Tensor& a, double b) { return assign("+=", a, a + b); }
Tensor& operator-=(Tensor& a, double b) { return assign("-=", a, a - b); }
Tensor& operator*=(Tensor& a, double b) { return assign("*=", a, a * b); }
Tensor& operator/=(Tensor& a, double b) { return assign("/=", a, a / b); }

}  // namespace cks
