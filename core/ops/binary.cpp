#include <utility>

#include "cks/core/ops/bfloat16_impl.h"
#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

// Operations of two tensors that broadcast. A node keeps an operand only if the other one's
// gradient needs it.

namespace cks {
namespace {

using kernels::BinaryOp;
using kernels::TernaryOp;
using ops::sum_to;
using Mask = std::vector<bool>;

Tensor binary(BinaryOp op, const Tensor& a, const Tensor& b) {
  const char* name = kernels::name_of(op);
  ops::require_same(name, {{"a", a}, {"b", b}});
  ops::require_floating(name, {"a", a});
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor result = ops::make_output(name, shape, a);
  CKS_KERNEL(a.device(), binary_forward(op, a.dtype(), ops::broadcast_problem(shape, a, b),
                                        a.data(), b.data(), result.data()));
  return result;
}

/// A step of a gradient, in the shape of grad_output, to which x and y broadcast.
Tensor ternary(const char* name, TernaryOp op, const Tensor& grad_output, const Tensor& x,
               const Tensor& y) {
  Tensor result = ops::make_output(name, grad_output);
  CKS_KERNEL(grad_output.device(),
             ternary(op, grad_output.dtype(),
                     ops::broadcast_problem(grad_output.shape(), grad_output, x, y),
                     grad_output.data(), x.data(), y.data(), result.data()));
  return result;
}

/// Gradient of an operand, of a difference's second one without its sign, from that of the result,
/// the operand and the other one.
Tensor gradient(BinaryOp op, bool of_a, const Tensor& grad, const SavedTensors& saved) {
  const char* name = kernels::name_of(op);
  const auto own = [&]() -> const Tensor& { return saved[of_a ? 0 : 1]; };
  const auto other = [&]() -> const Tensor& { return saved[of_a ? 1 : 0]; };
  switch (op) {
    case BinaryOp::add:
    case BinaryOp::sub:
      return grad;
    case BinaryOp::mul:
      return grad * other();
    case BinaryOp::div:
      return of_a ? grad / other() : ternary(name, TernaryOp::div_grad, grad, other(), own());
    case BinaryOp::maximum:
      return ternary(name, TernaryOp::maximum_grad, grad, own(), other());
    default:
      return ternary(name, TernaryOp::minimum_grad, grad, own(), other());
  }
}

/// Whether both are bfloat16 on the CPU, which has no kernels for it.
bool are_bfloat16(const Tensor& a, const Tensor& b) {
  return ops::is_bfloat16_on_cpu(a) && ops::is_bfloat16_on_cpu(b);
}

/// Each operand is saved where one of the gradients reads it.
Tensor recorded(BinaryOp op, const Tensor& a, const Tensor& b) {
  if (are_bfloat16(a, b)) {
    return ops::in_float32([&](const Tensor& x, const Tensor& y) { return recorded(op, x, y); }, a,
                           b);
  }
  const bool is_sum = op == BinaryOp::add || op == BinaryOp::sub;
  const bool is_extreme = op == BinaryOp::maximum || op == BinaryOp::minimum;
  Tensor result = binary(op, a, b);  // first: it checks them
  const bool reads_a = !is_sum && (is_extreme || b.requires_grad());
  const bool reads_b = !is_sum && (op != BinaryOp::mul || a.requires_grad());
  note_options(op);
  return record(kernels::name_of(op), std::move(result), {a, b},
                {reads_a ? a : Tensor(), reads_b ? b : Tensor()},
                [op, a_shape = a.shape(), b_shape = b.shape()](
                    const Tensor& grad, const Mask& needed, const SavedTensors& saved) {
                  const auto of_b = [&] {
                    const Tensor sum = sum_to(gradient(op, false, grad, saved), b_shape);
                    return op == BinaryOp::sub ? -sum : sum;
                  };
                  return std::vector<Tensor>{
                      needed[0] ? sum_to(gradient(op, true, grad, saved), a_shape) : Tensor(),
                      needed[1] ? of_b() : Tensor()};
                });
}

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::add, a, b); }
Tensor operator-(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::sub, a, b); }
Tensor operator*(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::mul, a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::div, a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::minimum, a, b); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  ops::require_dtype("where", {"condition", condition}, DType::uint8);
  ops::require_same("where", {{"a", a}, {"b", b}});
  ops::require_same_device("where", {"condition", condition}, {"a", a});
  if (are_bfloat16(a, b)) {
    return ops::in_float32([&](const Tensor& x, const Tensor& y) { return where(condition, x, y); },
                           a, b);
  }
  const Shape shape =
      broadcast_shapes("where", condition.shape(), broadcast_shapes("where", a.shape(), b.shape()));
  Tensor result = ops::make_output("where", shape, a);
  CKS_KERNEL(a.device(),
             select(a.dtype(), ops::broadcast_problem(shape, condition, a, b),
                    condition.data_as<std::uint8_t>(), a.data(), b.data(), result.data()));
  note_options(ops::NoOptions{});
  return record("where", result, {condition, a, b}, {condition},
                [a_shape = a.shape(), b_shape = b.shape()](const Tensor& grad, const Mask& needed,
                                                           const SavedTensors& saved) {
                  const Tensor zero = Tensor::zeros({}, grad.dtype(), grad.device());
                  return std::vector<Tensor>{
                      Tensor(), needed[1] ? sum_to(where(saved[0], grad, zero), a_shape) : Tensor(),
                      needed[2] ? sum_to(where(saved[0], zero, grad), b_shape) : Tensor()};
                });
}

}  // namespace cks
