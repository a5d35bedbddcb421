#pragma once
#include <initializer_list>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/forward_pass.h"
#include "cks/core/tensor/tensor.h"
#include "cks/kernels/common/lists_impl.h"

/// bfloat16 in operations that have no kernels for it: they compute in float32 and round what they
/// return, and so do their gradients.
namespace cks::ops {

inline bool is_bfloat16(const Tensor& tensor) {
  return tensor.defined() && tensor.dtype() == DType::bfloat16;
}

/// The same of an operation that has such kernels for GPUs alone.
inline bool is_bfloat16_on_cpu(const Tensor& tensor) {
  return is_bfloat16(tensor) && tensor.device().is_cpu();
}

/// op(inputs as float32), rounded to bfloat16.
template <class Op, class... Inputs>
Tensor in_float32(const Op& op, const Inputs&... inputs) {
  return op(inputs.to(DType::float32)...).to(DType::bfloat16);
}

/// bfloat16 as float32, on the tape; others as they are.
inline Tensor as_real(const Tensor& tensor) {
  return is_bfloat16(tensor) ? tensor.to(DType::float32) : tensor;
}

/// What an operation that multiplies takes for an operand: in bf16 float32 becomes bfloat16. The
/// operation's node keeps the operand itself as its input, whose gradient is not rounded then.
inline Tensor in_precision(const Tensor& tensor) {
  const bool rounds = current_precision() == Precision::bf16 && tensor.defined() &&
                      tensor.dtype() == DType::float32;
  if (!rounds) {
    return tensor;
  }
  ForwardPass* const pass = ForwardPass::current();
  const Tensor copy = pass == nullptr ? Tensor() : pass->rounded(tensor);
  return copy.defined() ? copy : tensor.detach().to(DType::bfloat16);
}

/// What gradients of operands must be; undefined operands have none.
inline std::vector<DType> dtypes_of(std::initializer_list<Tensor> operands) {
  return mapped(operands, [](const Tensor& operand) {
    return operand.defined() ? operand.dtype() : DType::float32;
  });
}

/// An operand as float32, which holds products of bfloat16 exactly; undefined stays so.
inline Tensor widened(const Tensor& tensor) {
  return is_bfloat16(tensor) ? tensor.detach().to(DType::float32) : tensor;
}

}  // namespace cks::ops
