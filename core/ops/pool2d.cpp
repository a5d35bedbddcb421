#include "cks/core/ops/pool2d.h"

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/gradient_terms_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/concat/concat.h"
#include "cks/kernels/pool2d/pool2d.h"

namespace cks {
namespace {

using kernels::Pool2dProblem;

Pool2dProblem problem_of(const char* operation, const Tensor& input, Size2 kernel_size,
                         Size2 stride, const Padding2d& padding, Size2 dilation, bool ceil_mode) {
  ops::require_floating(operation, {"input", input});
  ops::require_rank(operation, {"input", input}, 4, "[N,H,W,C]");
  return kernels::make_pool2d_problem({.N = input.size(0),
                                       .IH = input.size(1),
                                       .IW = input.size(2),
                                       .C = input.size(3),
                                       .FH = kernel_size.h,
                                       .FW = kernel_size.w,
                                       .stride = stride == Size2(0) ? kernel_size : stride,
                                       .padding = padding,
                                       .dilation = dilation,
                                       .dtype = input.dtype(),
                                       .ceil_mode = ceil_mode},
                                      operation);
}

Shape input_shape(const Pool2dProblem& p) { return {p.N, p.IH, p.IW, p.C}; }
Shape output_shape(const Pool2dProblem& p) { return {p.N, p.OH, p.OW, p.C}; }

/// The gradient of the result with all its terms. It goes to the windows' maxima, so that `result`,
/// if it is defined, masks it as their places in the input would.
Tensor whole_gradient(const Tensor& grad, const GradientWork& work, const Tensor& result) {
  Tensor whole = ops::make_output("max_pool2d", grad);
  const std::int64_t width = grad.numel();
  kernels::SplitPart part{.to = whole.data()};
  if (result.defined()) {
    part.y = result.data();
    part.slope = work.input_slope(0);
  }
  CKS_KERNEL(grad.device(),
             split({1, {&width, 1}, grad.dtype()}, ops::terms_of(grad, work), {&part, 1}));
  return whole;
}

}  // namespace

Tensor max_pool2d(const Tensor& input, const MaxPool2dOptions& options) {
  if (ops::is_bfloat16_on_cpu(input)) {
    return ops::in_float32([&](const Tensor& x) { return max_pool2d(x, options); }, input);
  }
  const char* operation = "max_pool2d";
  const Pool2dProblem problem = problem_of(operation, input, options.kernel_size, options.stride,
                                           options.padding, options.dilation, options.ceil_mode);
  Tensor result = ops::make_output(operation, output_shape(problem), input);
  const std::size_t bytes = CKS_KERNEL(input.device(), max_pool2d_index_bytes(problem));
  Tensor index =
      ops::make_output(operation, {static_cast<std::int64_t>(bytes)}, DType::uint8, input.device());
  CKS_KERNEL(input.device(),
             max_pool2d_forward(problem, input.data(), result.data(), index.data()));
  note_options(options);
  const bool may_mask = ops::may_mask_by(input);
  const Tensor recorded = record(
      operation, result, {input}, {index, may_mask ? result : Tensor()},
      [problem, operation](const Tensor& given, const GradientWork& work, const std::vector<bool>&,
                           const SavedTensors& saved) {
        const bool masks = work.input_slope(0) != 1.0;
        const Tensor grad = masks || !work.terms.empty()
                                ? whole_gradient(given, work, masks ? saved[1] : Tensor())
                                : given;
        Tensor grad_input = ops::make_output(operation, input_shape(problem), grad);
        CKS_KERNEL(grad.device(),
                   max_pool2d_backward(problem, grad.data(), saved[0].data(), grad_input.data()));
        return std::vector<Tensor>{grad_input};
      });
  return ops::declared(recorded,
                       {.added_terms = kernels::kSplitTerms, .masked_inputs = may_mask ? 1 : 0});
}

Tensor avg_pool2d(const Tensor& input, const AvgPool2dOptions& options) {
  if (ops::is_bfloat16_on_cpu(input)) {
    return ops::in_float32([&](const Tensor& x) { return avg_pool2d(x, options); }, input);
  }
  const char* operation = "avg_pool2d";
  const Pool2dProblem problem = problem_of(operation, input, options.kernel_size, options.stride,
                                           options.padding, 1, options.ceil_mode);
  Tensor result = ops::make_output(operation, output_shape(problem), input);
  CKS_KERNEL(input.device(),
             avg_pool2d_forward(problem, options.count_include_pad, input.data(), result.data()));
  note_options(options);
  return record(operation, std::move(result), {input},
                [problem, pads = options.count_include_pad](const Tensor& grad) {
                  Tensor grad_input = ops::make_output("avg_pool2d", input_shape(problem), grad);
                  CKS_KERNEL(grad.device(),
                             avg_pool2d_backward(problem, pads, grad.data(), grad_input.data()));
                  return grad_input;
                });
}

Tensor global_avg_pool2d(const Tensor& input) {
  if (ops::is_bfloat16_on_cpu(input)) {
    return ops::in_float32(global_avg_pool2d, input);
  }
  const char* operation = "global_avg_pool2d";
  ops::require_floating(operation, {"input", input});
  ops::require_rank(operation, {"input", input}, 4, "[N,H,W,C]");
  const Shape shape = input.shape();
  if (shape[1] < 1 || shape[2] < 1 || shape[3] < 1) {
    throw ShapeError(formatted("global_avg_pool2d: the image is empty (input {})", shape));
  }
  Tensor result = ops::make_output(operation, {shape[0], 1, 1, shape[3]}, input);
  CKS_KERNEL(input.device(), global_avg_pool2d_forward(input.dtype(), shape[0], shape[1] * shape[2],
                                                       shape[3], input.data(), result.data()));
  note_options(ops::NoOptions{});
  return record(operation, std::move(result), {input}, [shape](const Tensor& grad) {
    Tensor grad_input = ops::make_output("global_avg_pool2d", shape, grad);
    CKS_KERNEL(grad.device(),
               global_avg_pool2d_backward(grad.dtype(), shape[0], shape[1] * shape[2], shape[3],
                                          grad.data(), grad_input.data()));
    return grad_input;
  });
}

}  // namespace cks
