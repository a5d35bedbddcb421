#include "cks/core/ops/softmax.h"

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks {
namespace {

using kernels::SoftmaxProblem;

SoftmaxProblem problem_of(const char* operation, const Tensor& input) {
  if (input.rank() < 1 || input.size(-1) < 1) {
    throw ShapeError(
        formatted("{}: the last axis of the input is empty (input {})", operation, input.shape()));
  }
  return {input.numel() / input.size(-1), input.size(-1), input.dtype()};
}

/// Over the last axis. Each gradient follows from its result.
Tensor softmax_of_rows(const char* name, bool is_log, const Tensor& input) {
  const SoftmaxProblem problem = problem_of(name, input);
  Tensor result = ops::make_output(name, input);
  CKS_KERNEL(input.device(), softmax_forward(problem, is_log, input.data(), result.data()));
  note_options(ops::AlongAxis{input.rank() - 1});
  return record(name, result, {input}, {result},
                [name, is_log, problem](const Tensor& grad, const SavedTensors& saved) {
                  Tensor grad_input = ops::make_output(name, grad);
                  CKS_KERNEL(grad.device(), softmax_backward(problem, is_log, saved[0].data(),
                                                             grad.data(), grad_input.data()));
                  return grad_input;
                });
}

Tensor softmax_of(bool is_log, const Tensor& input, int axis) {
  const char* const name = kernels::softmax_name(is_log);
  if (ops::is_bfloat16(input)) {
    return ops::in_float32([&](const Tensor& x) { return softmax_of(is_log, x, axis); }, input);
  }
  ops::require_real(name, {"input", input});
  if (input.rank() == 0 ||
      ops::checked_axis(name, axis, input.rank(), input.shape()) == input.rank() - 1) {
    return softmax_of_rows(name, is_log, input);
  }
  return transpose(softmax_of_rows(name, is_log, transpose(input, axis, -1)), axis, -1);
}

}  // namespace

Tensor softmax(const Tensor& input, int axis) { return softmax_of(false, input, axis); }

Tensor log_softmax(const Tensor& input, int axis) { return softmax_of(true, input, axis); }

}  // namespace cks
