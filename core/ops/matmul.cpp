#include "cks/core/ops/matmul.h"

#include "cks/core/capture/branches_impl.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/gemm/gemm.h"

namespace cks {
namespace {

using kernels::GemmProblem;

/// op(a) op(b) + bias, op being a transpose where asked for; float32 if a and b are bfloat16.
Tensor product(const char* operation, const Tensor& a, bool transpose_a, const Tensor& b,
               bool transpose_b, const Tensor& bias = {}) {
  if (ops::is_bfloat16(a)) {
    return product(operation, ops::widened(a), transpose_a, ops::widened(b), transpose_b,
                   ops::widened(bias));
  }
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
  ops::require_floating(operation, a);
  ops::require_rank(operation, b, 2, "rows and columns");
  ops::require_precision(operation, a.tensor.device());
}

}  // namespace

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  const char* operation = "linear";
  const Tensor x = ops::in_precision(input);
  const Tensor w = ops::in_precision(weight);
  const Tensor b = ops::in_precision(bias);
  check(operation, {"input", x}, {"weight", w});
  if (input.rank() == 0) {
    throw ShapeError("linear: input must have an axis of features, got []");
  }
  if (x.size(-1) != w.size(1)) {
    throw ShapeError(
        formatted("linear: input has {} features, weight expects {} (input {}, weight {})",
                  x.size(-1), w.size(1), x.shape(), w.shape()));
  }
  if (bias.defined()) {
    ops::require_same(operation, {{"input", x}, {"bias", b}});
    ops::require_shape(operation, {"bias", b}, {w.size(0)});
  }
  if (input.rank() != 2) {
    const Shape rest(std::vector(input.shape().begin(), input.shape().end() - 1));
    return linear(input.reshape({rest.numel(), input.size(-1)}), weight, bias)
        .reshape(input.shape().with(-1, weight.size(0)));
  }
  note_options(ops::NoOptions{});
  return record(
      operation, product(operation, x, false, w, true, b).to(x.dtype()), {input, weight, bias},
      {weight.requires_grad() ? x : Tensor(), input.requires_grad() ? w : Tensor()},
      [operation, types = ops::dtypes_of({input, weight, bias})](
          const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        return ops::run_gradients(
            needed, [&] { return product(operation, grad, false, saved[1], false).to(types[0]); },
            [&] { return product(operation, grad, true, saved[0], false).to(types[1]); },
            [&] { return ops::sum_to_last_axis(operation, grad).to(types[2]); });
      });
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const char* operation = "matmul";
  const Tensor x = ops::in_precision(a);
  const Tensor y = ops::in_precision(b);
  check(operation, {"a", x}, {"b", y});
  ops::require_rank(operation, {"a", x}, 2, "rows and columns");
  if (x.size(1) != y.size(0)) {
    throw ShapeError(formatted("matmul: a has {} columns, b has {} rows (a {}, b {})", x.size(1),
                               y.size(0), x.shape(), y.shape()));
  }
  note_options(ops::NoOptions{});
  return record(
      operation, product(operation, x, false, y, false).to(x.dtype()), {a, b},
      {b.requires_grad() ? x : Tensor(), a.requires_grad() ? y : Tensor()},
      [operation, types = ops::dtypes_of({a, b})](
          const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        return std::vector<Tensor>{
            needed[0] ? product(operation, grad, false, saved[1], true).to(types[0]) : Tensor(),
            needed[1] ? product(operation, saved[0], true, grad, false).to(types[1]) : Tensor()};
      });
}

}  // namespace cks
