#include "cks/core/conv/matmul.h"

#include "cks/core/capture/branches_impl.h"
#include "cks/core/conv/conv_operands_impl.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/conv/matmul_impl.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/gemm/gemm.h"

namespace cks {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dProblem;
using kernels::PreparedConv2d;

/// Below so many multiply-adds a thread an element is faster than widening bfloat16 first.
constexpr std::int64_t kFewProducts = 1 << 22;

/// A product of matrices that are not both transposed as a convolution's pass: of M images of one
/// pixel, of as many channels as a row has elements; in backward_filter it adds up over the images.
const PreparedConv2d& prepared_product(const char* operation, const Tensor& a, bool transpose_a,
                                       const Tensor& b, bool transpose_b, const Tensor& result) {
  const Conv2dPass pass = transpose_a   ? Conv2dPass::backward_filter
                          : transpose_b ? Conv2dPass::forward
                                        : Conv2dPass::backward_data;
  // The filter [OC,1,1,IC] is b, or the result in backward_filter.
  Conv2dProblem problem = kernels::make_conv2d_problem({.N = a.size(0),
                                                        .IC = b.size(1),
                                                        .OC = transpose_b ? b.size(0) : a.size(1),
                                                        .dtype = a.dtype()},
                                                       operation);
  problem.w_type = transpose_a ? result.dtype() : a.dtype();
  problem.precision = current_precision();
  problem.is_aligned = is_aligned(a) && is_aligned(b) && is_aligned(result);
  return prepared_conv(pass, problem, a.device(), /*may_be_forced=*/false);
}

/// On a GPU: by the plan for the pass, one of tensor cores wherever these pay.
void run_planned(const char* operation, const PreparedConv2d& conv, const Tensor& a,
                 const Tensor& b, const SumsEnd& end, Tensor& result) {
  const auto workspace = ops::make_workspace(operation, conv.plan.workspace_bytes, a.device());
  const bool is_filter = conv.plan.pass == Conv2dPass::backward_filter;  // a is dY, b is X
  ops::select_cuda(a.device());
  kernels::run_conv2d(conv, (is_filter ? b : a).data(), (is_filter ? a : b).data(), end.epilogue(),
                      result.data(), workspace->data());
}

void run_gemm(const char* operation, const Tensor& a, bool transpose_a, const Tensor& b,
              bool transpose_b, const SumsEnd& end, Tensor& result) {
  const kernels::GemmProblem problem{.M = result.size(0),
                                     .N = result.size(1),
                                     .K = a.size(transpose_a ? 0 : 1),
                                     .transpose_a = transpose_a,
                                     .transpose_b = transpose_b,
                                     .dtype = a.dtype()};
  const std::size_t bytes = CKS_KERNEL(a.device(), gemm_workspace_bytes(problem));
  const auto workspace = ops::make_workspace(operation, bytes, a.device());
  CKS_KERNEL(a.device(),
             gemm(problem, a.data(), b.data(), end.epilogue(), result.data(), workspace->data()));
}

/// op(a) op(b) and the end, op being a transpose of one of them where asked for, as `dtype`; of
/// bfloat16 that may be float32, not rounded.
Tensor product(const char* operation, const Tensor& a, bool transpose_a, const Tensor& b,
               bool transpose_b, DType dtype, const SumsEnd& end = {}) {
  const Shape shape{a.size(transpose_a ? 1 : 0), b.size(transpose_b ? 0 : 1)};
  const bool is_empty = a.numel() == 0 || b.numel() == 0;
  const bool is_narrow = ops::is_bfloat16(a);
  // What the passes of a convolution make of bfloat16.
  const DType made = is_narrow && transpose_a ? DType::float32 : a.dtype();
  const bool rounds_too_much = made == DType::bfloat16 && dtype != made;
  if (a.device().is_cuda() && !is_empty && !rounds_too_much) {
    Tensor result = ops::make_output(operation, shape, made, a.device());
    const PreparedConv2d& conv =
        prepared_product(operation, a, transpose_a, b, transpose_b, result);
    if (!is_narrow || conv.plan.kernel != "direct" ||
        shape.numel() * a.size(transpose_a ? 0 : 1) < kFewProducts) {
      run_planned(operation, conv, a, b, end, result);
      return result.to(dtype);
    }
  }
  if (is_narrow) {
    return product(operation, ops::widened(a), transpose_a, ops::widened(b), transpose_b,
                   DType::float32, end.widened())
        .to(dtype);
  }
  Tensor result = ops::make_output(operation, shape, a);
  run_gemm(operation, a, transpose_a, b, transpose_b, end, result);
  return result.to(dtype);
}

void check(const char* operation, const ops::Argument& a, const ops::Argument& b) {
  ops::require_same(operation, {a, b});
  ops::require_floating(operation, a);
  ops::require_rank(operation, b, 2, "rows and columns");
  ops::require_precision(operation, a.tensor.device());
}

}  // namespace

Tensor ops::product_and(const char* operation, const Tensor& a, const Tensor& b, bool transpose_b,
                        const Tensor& added) {
  return product(operation, a, false, b, transpose_b, a.dtype(), {.added = added});
}

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias,
              double negative_slope) {
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
  ops::require_share(operation, "negative_slope", negative_slope);
  if (input.rank() != 2) {
    const Shape rest(std::vector(input.shape().begin(), input.shape().end() - 1));
    return linear(input.reshape({rest.numel(), input.size(-1)}), weight, bias, negative_slope)
        .reshape(input.shape().with(-1, weight.size(0)));
  }
  const Tensor result = product(operation, x, false, w, true, x.dtype(), {b, negative_slope});
  note_options(ops::ActivationCall{negative_slope});
  const Tensor recorded =
      record(operation, result, {input, weight, bias},
             {weight.requires_grad() ? x : Tensor(), input.requires_grad() ? w : Tensor(),
              negative_slope == 1.0 ? Tensor() : result},
             [operation, negative_slope, types = ops::dtypes_of({input, weight, bias})](
                 const Tensor& grad_output, const GradientWork& work,
                 const std::vector<bool>& needed, const SavedTensors& saved) {
               const Tensor grad =
                   ops::before_activation(operation, grad_output, work, saved[2], negative_slope);
               SumsEnd end;
               if (work.input_slope(0) != 1.0) {
                 end.mask = saved[0];
                 end.mask_slope = work.input_slope(0);
               }
               return ops::run_gradients(
                   needed, /*may_run_on=*/false, {},
                   [&] { return product(operation, grad, false, saved[1], false, types[0], end); },
                   [&] { return product(operation, grad, true, saved[0], false, types[1]); },
                   [&] { return ops::sum_to_last_axis(operation, grad).to(types[2]); });
             });
  // By the input as it is saved, which is of the gradient's type.
  const bool masks = weight.requires_grad() && x.dtype() == input.dtype();
  return ops::declared(recorded, {.masked_inputs = masks ? 1 : 0, .result_slope = negative_slope});
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
      operation, product(operation, x, false, y, false, x.dtype()), {a, b},
      {b.requires_grad() ? x : Tensor(), a.requires_grad() ? y : Tensor()},
      [operation, types = ops::dtypes_of({a, b})](
          const Tensor& grad, const std::vector<bool>& needed, const SavedTensors& saved) {
        return std::vector<Tensor>{
            needed[0] ? product(operation, grad, false, saved[1], true, types[0]) : Tensor(),
            needed[1] ? product(operation, saved[0], true, grad, false, types[1]) : Tensor()};
      });
}

}  // namespace cks
