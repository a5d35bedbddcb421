#include "cks/core/ops/matmul.h"

#include "cks/core/capture/branches_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/gemm/gemm.h"

namespace cks {
namespace {

using kernels::GemmProblem;

/// op(a) op(b) + bias, op being a transpose where asked for.
Tensor product(const char* operation, const Tensor& a, bool transpose_a, const Tensor& b,
               bool transpose_b, const Tensor& bias = {}) {
  const GemmProblem problem{.M = a.size(transpose_a ? 1 : 0),
                            .N = b.size(transpose_b ? 0 : 1),
                            .K = a.size(transpose_a ? 0 : 1),
                            .transpose_a = transpose_a,
                            .transpose_b = transpose_b,
                            .dtype = a.dtype()};
  Tensor result = ops::make_output(operation, {problem.M, problem.N}, a.dtype(), a.device());
  const std::size_t bytes = CKS_KERNEL(a.device(), gemm_workspace_bytes(problem));
  const auto workspace = ops::make_workspace(operation, bytes, a.device());
  CKS_KERNEL(a.device(), gemm(problem, a.data(), b.data(), {.bias = ops::data_or_null(bias)},
                              result.data(), workspace->data()));
  return result;
}

void check(const char* operation, const ops::Argument& a, const ops::Argument& b) {
  ops::require_same(operation, {a, b});
  ops::require_real(operation, a);
  ops::require_rank(operation, a, 2, "rows and columns");
  ops::require_rank(operation, b, 2, "rows and columns");
  ops::require_precision(operation, a.tensor.device());
}

}  // namespace

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  const char* operation = "linear";
  check(operation, {"input", input}, {"weight", weight});
  if (input.size(1) != weight.size(1)) {
    throw ShapeError(
        formatted("linear: input has {} features, weight expects {} (input {}, weight {})",
                  input.size(1), weight.size(1), input.shape(), weight.shape()));
  }
  if (bias.defined()) {
    ops::require_same(operation, {{"input", input}, {"bias", bias}});
    ops::require_shape(operation, {"bias", bias}, {weight.size(0)});
  }
  return record(
      operation, product(operation, input, false, weight, true, bias), {input, weight, bias},
      {weight.requires_grad() ? input : Tensor(), input.requires_grad() ? weight : Tensor()},
      [operation](const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        return ops::run_gradients(
            needed, [&] { return product(operation, grad, false, saved[1], false); },
            [&] { return product(operation, grad, true, saved[0], false); },
            [&] { return ops::sum_to_last_axis(operation, grad); });
      });
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const char* operation = "matmul";
  check(operation, {"a", a}, {"b", b});
  if (a.size(1) != b.size(0)) {
    throw ShapeError(formatted("matmul: a has {} columns, b has {} rows (a {}, b {})", a.size(1),
                               b.size(0), a.shape(), b.shape()));
  }
  return record(
      operation, product(operation, a, false, b, false), {a, b},
      {b.requires_grad() ? a : Tensor(), a.requires_grad() ? b : Tensor()},
      [operation](const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        return std::vector<Tensor>{
            needed[0] ? product(operation, grad, false, saved[1], true) : Tensor(),
            needed[1] ? product(operation, saved[0], true, grad, false) : Tensor()};
      });
}

}  // namespace cks
