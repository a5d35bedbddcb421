#include "cks/core/ops/softmax.h"

#include "cks/core/ops/output.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace cks {
namespace {

using kernels::SoftmaxProblem;

SoftmaxProblem problem_of(const char* operation, const Tensor& input) {
  ops::require_real(operation, {"input", input});
  if (input.rank() < 1 || input.size(-1) < 1) {
    throw ShapeError(formatted("{}: the last axis of the input is empty (input {})", operation,
                               input.shape().to_string()));
  }
  return {input.numel() / input.size(-1), input.size(-1), input.dtype()};
}

/// Of both: each gradient follows from its result.
struct SoftmaxBackward : Node {
  bool is_log = false;
  SavedTensor result{this};
  const char* name() const override { return is_log ? "log_softmax" : "softmax"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    const SoftmaxProblem problem = problem_of(name(), grad_output);
    Tensor grad =
        ops::make_output(name(), grad_output.shape(), problem.dtype, grad_output.device());
    if (is_log) {
      CKS_KERNEL(grad.device(), log_softmax_backward(problem, result.get().data(),
                                                     grad_output.data(), grad.data()));
    } else {
      CKS_KERNEL(grad.device(),
                 softmax_backward(problem, result.get().data(), grad_output.data(), grad.data()));
    }
    return {grad};
  }
};

Tensor record_softmax(bool is_log, const Tensor& result, const Tensor& input) {
  return record<SoftmaxBackward>(result, {input}, [&](SoftmaxBackward& node) {
    node.is_log = is_log;
    node.result.save(result);
  });
}

}  // namespace

Tensor softmax(const Tensor& input) {
  const SoftmaxProblem problem = problem_of("softmax", input);
  Tensor result = ops::make_output("softmax", input.shape(), input.dtype(), input.device());
  CKS_KERNEL(input.device(), softmax_forward(problem, input.data(), result.data()));
  return record_softmax(false, result, input);
}

Tensor log_softmax(const Tensor& input) {
  const SoftmaxProblem problem = problem_of("log_softmax", input);
  Tensor result = ops::make_output("log_softmax", input.shape(), input.dtype(), input.device());
  CKS_KERNEL(input.device(), log_softmax_forward(problem, input.data(), result.data()));
  return record_softmax(true, result, input);
}

}  // namespace cks
