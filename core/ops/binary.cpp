#include <utility>

#include "cks/core/ops/broadcast_impl.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/reduce.h"
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
  ops::require_real(name, {"a", a});
  const Shape shape = broadcast_shapes(name, a.shape(), b.shape());
  Tensor result = ops::make_output(name, shape, a.dtype(), a.device());
  CKS_KERNEL(a.device(), binary_forward(op, a.dtype(), ops::broadcast_problem(shape, a, b),
                                        a.data(), b.data(), result.data()));
  return result;
}

/// A step of a gradient, in the shape of grad_output, to which x and y broadcast.
Tensor ternary(const char* name, TernaryOp op, const Tensor& grad_output, const Tensor& x,
               const Tensor& y) {
  const Shape& shape = grad_output.shape();
  Tensor result = ops::make_output(name, shape, grad_output.dtype(), grad_output.device());
  CKS_KERNEL(grad_output.device(),
             ternary(op, grad_output.dtype(), ops::broadcast_problem(shape, grad_output, x, y),
                     grad_output.data(), x.data(), y.data(), result.data()));
  return result;
}

/// Of the operations whose gradients read an operand; each is saved where one of them needs it.
struct BinaryBackward : Node {
  BinaryOp op = BinaryOp::mul;
  SavedTensor a{this};
  SavedTensor b{this};
  Shape a_shape;
  Shape b_shape;

  const char* name() const override { return kernels::name_of(op); }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    return {needed[0] ? sum_to(gradient_of_a(grad_output), a_shape) : Tensor(),
            needed[1] ? sum_to(gradient_of_b(grad_output), b_shape) : Tensor()};
  }

 private:
  Tensor gradient_of_a(const Tensor& grad) const {
    switch (op) {
      case BinaryOp::mul:
        return grad * b.get();
      case BinaryOp::div:
        return grad / b.get();
      default:
        return ternary(name(), step(), grad, a.get(), b.get());
    }
  }
  Tensor gradient_of_b(const Tensor& grad) const {
    switch (op) {
      case BinaryOp::mul:
        return grad * a.get();
      case BinaryOp::div:
        return ternary(name(), TernaryOp::div_grad, grad, a.get(), b.get());
      default:
        return ternary(name(), step(), grad, b.get(), a.get());
    }
  }
  /// Of maximum and minimum, which differ in nothing else.
  TernaryOp step() const {
    return op == BinaryOp::maximum ? TernaryOp::maximum_grad : TernaryOp::minimum_grad;
  }
};

Tensor recorded(BinaryOp op, const Tensor& a, const Tensor& b) {
  return record<BinaryBackward>(binary(op, a, b), {a, b}, [&](BinaryBackward& node) {
    node.op = op;
    node.a_shape = a.shape();
    node.b_shape = b.shape();
    const bool is_extreme = op == BinaryOp::maximum || op == BinaryOp::minimum;
    if (is_extreme || b.requires_grad()) {
      node.a.save(a);
    }
    if (op != BinaryOp::mul || a.requires_grad()) {
      node.b.save(b);
    }
  });
}

struct WhereBackward : Node {
  SavedTensor condition{this};
  Shape a_shape;
  Shape b_shape;

  const char* name() const override { return "where"; }
  std::vector<Tensor> backward(const Tensor& grad_output,
                               const std::vector<bool>& needed) override {
    const Tensor zero = Tensor::zeros({}, grad_output.dtype(), grad_output.device());
    return {Tensor(),
            needed[1] ? sum_to(where(condition.get(), grad_output, zero), a_shape) : Tensor(),
            needed[2] ? sum_to(where(condition.get(), zero, grad_output), b_shape) : Tensor()};
  }
};

}  // namespace

Tensor operator+(const Tensor& a, const Tensor& b) {
  Tensor result = binary(BinaryOp::add, a, b);  // first: it checks them
  return record("add", std::move(result), {a, b},
                [a_shape = a.shape(), b_shape = b.shape()](const Tensor& grad, const Mask& needed) {
                  return std::vector<Tensor>{needed[0] ? sum_to(grad, a_shape) : Tensor(),
                                             needed[1] ? sum_to(grad, b_shape) : Tensor()};
                });
}

Tensor operator-(const Tensor& a, const Tensor& b) {
  Tensor result = binary(BinaryOp::sub, a, b);  // first: it checks them
  return record("sub", std::move(result), {a, b},
                [a_shape = a.shape(), b_shape = b.shape()](const Tensor& grad, const Mask& needed) {
                  return std::vector<Tensor>{needed[0] ? sum_to(grad, a_shape) : Tensor(),
                                             needed[1] ? -sum_to(grad, b_shape) : Tensor()};
                });
}

Tensor operator*(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::mul, a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::div, a, b); }
Tensor maximum(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::maximum, a, b); }
Tensor minimum(const Tensor& a, const Tensor& b) { return recorded(BinaryOp::minimum, a, b); }

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  ops::require_dtype("where", {"condition", condition}, DType::uint8);
  ops::require_same("where", {{"a", a}, {"b", b}});
  ops::require_same_device("where", {"condition", condition}, {"a", a});
  const Shape shape =
      broadcast_shapes("where", condition.shape(), broadcast_shapes("where", a.shape(), b.shape()));
  Tensor result = ops::make_output("where", shape, a.dtype(), a.device());
  CKS_KERNEL(a.device(),
             select(a.dtype(), ops::broadcast_problem(shape, condition, a, b),
                    condition.data_as<std::uint8_t>(), a.data(), b.data(), result.data()));
  return record<WhereBackward>(result, {condition, a, b}, [&](WhereBackward& node) {
    node.condition.save(condition);
    node.a_shape = a.shape();
    node.b_shape = b.shape();
  });
}

}  // namespace cks
