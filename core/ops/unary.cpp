#include "cks/core/ops/activation.h"
#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

// Operations of one tensor and up to two constants. They differ by one formula and its derivative,
// both in kernels/elementwise/functors_impl.h; what is kept for backward follows from the
// operation.

namespace cks {
namespace {

using kernels::UnaryOp;
using kernels::UnaryParameters;
using kernels::UnarySaves;

/// `saved`: what the operation keeps for backward, undefined if that is nothing.
Tensor input_gradient(const char* name, UnaryOp op, const Tensor& grad, const Tensor& saved,
                      UnaryParameters parameters) {
  Tensor result = ops::make_output(name, grad);
  CKS_KERNEL(grad.device(), unary_backward(op, grad.dtype(), grad.numel(), grad.data(),
                                           ops::data_or_null(saved), result.data(), parameters));
  return result;
}

Tensor unary(UnaryOp op, const Tensor& input, UnaryParameters parameters = {}) {
  const char* name = kernels::name_of(op);
  if (ops::is_bfloat16_on_cpu(input)) {
    return ops::in_float32([&](const Tensor& x) { return unary(op, x, parameters); }, input);
  }
  ops::require_floating(name, {"input", input});
  Tensor result = ops::make_output(name, input);
  CKS_KERNEL(input.device(), unary_forward(op, input.dtype(), input.numel(), input.data(),
                                           result.data(), parameters));
  const UnarySaves saves = kernels::unary_saves(op);
  const Tensor kept = saves == UnarySaves::input    ? input
                      : saves == UnarySaves::output ? result
                                                    : Tensor();
  note_options(ops::UnaryCall{op, parameters});
  return record(name, result, {input}, {kept},
                [op, name, parameters](const Tensor& grad, const SavedTensors& saved) {
                  return op == UnaryOp::add_scalar
                             ? grad
                             : input_gradient(name, op, grad, saved[0], parameters);
                });
}

}  // namespace

Tensor operator-(const Tensor& input) { return unary(UnaryOp::neg, input); }
Tensor operator+(const Tensor& a, double b) { return unary(UnaryOp::add_scalar, a, {b}); }
Tensor operator-(const Tensor& a, double b) { return unary(UnaryOp::add_scalar, a, {-b}); }
Tensor operator*(const Tensor& a, double b) { return unary(UnaryOp::mul_scalar, a, {b}); }
Tensor operator/(const Tensor& a, double b) { return unary(UnaryOp::div_scalar, a, {b}); }
Tensor operator+(double a, const Tensor& b) { return unary(UnaryOp::add_scalar, b, {a}); }
Tensor operator-(double a, const Tensor& b) { return unary(UnaryOp::subtract_from, b, {a}); }
Tensor operator*(double a, const Tensor& b) { return unary(UnaryOp::mul_scalar, b, {a}); }
Tensor operator/(double a, const Tensor& b) { return unary(UnaryOp::divide_into, b, {a}); }

Tensor abs(const Tensor& input) { return unary(UnaryOp::abs, input); }
Tensor square(const Tensor& input) { return unary(UnaryOp::square, input); }
Tensor exp(const Tensor& input) { return unary(UnaryOp::exp, input); }
Tensor log(const Tensor& input) { return unary(UnaryOp::log, input); }
Tensor sqrt(const Tensor& input) { return unary(UnaryOp::sqrt, input); }
Tensor pow(const Tensor& input, double exponent) { return unary(UnaryOp::pow, input, {exponent}); }

Tensor clamp(const Tensor& input, double low, double high) {
  if (!(low <= high)) {
    throw Error(formatted("clamp: low must not exceed high, got low {}, high {}", low, high));
  }
  return unary(UnaryOp::clamp, input, {low, high});
}

Tensor relu(const Tensor& input) { return unary(UnaryOp::relu, input); }
Tensor leaky_relu(const Tensor& input, double negative_slope) {
  return unary(UnaryOp::leaky_relu, input, {negative_slope});
}
Tensor ops::masked_gradient(const char* operation, const Tensor& grad, const Tensor& result,
                            double negative_slope) {
  if (is_bfloat16_on_cpu(grad)) {
    return masked_gradient(operation, widened(grad), widened(result), negative_slope)
        .to(DType::bfloat16);
  }
  return input_gradient(operation, negative_slope == 0.0 ? UnaryOp::relu : UnaryOp::leaky_relu,
                        grad, result, {negative_slope});
}
Tensor sigmoid(const Tensor& input) { return unary(UnaryOp::sigmoid, input); }
Tensor tanh(const Tensor& input) { return unary(UnaryOp::tanh, input); }
Tensor gelu(const Tensor& input) { return unary(UnaryOp::gelu, input); }

}  // namespace cks
