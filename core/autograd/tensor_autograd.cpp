#include "cks/core/autograd/autograd.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"

// What Tensor has to do with the tape; backward() is in engine.cpp.

namespace cks {
namespace {

/// Throws AutogradError for the result of a recorded operation.
TensorImpl& checked_leaf(const Tensor& tensor, const char* operation, const char* advice) {
  TensorImpl& impl = checked(tensor.impl(), operation);
  if (impl.node != nullptr) {
    throw AutogradError(
        formatted("{}: the tensor is the result of {}, {}", operation, impl.node->name(), advice));
  }
  return impl;
}

}  // namespace

bool Tensor::requires_grad() const {
  const TensorImpl& impl = checked(impl_, "requires_grad");
  return impl.requires_grad || impl.node != nullptr;
}

Tensor& Tensor::set_requires_grad(bool value) {
  TensorImpl& impl =
      checked_leaf(*this, "set_requires_grad", "only leaves take it; detach() it first");
  if (value && !is_floating(impl.dtype)) {
    throw DtypeError(formatted("set_requires_grad: expected a floating dtype, got {}", impl.dtype));
  }
  impl.requires_grad = value;
  return *this;
}

bool Tensor::is_leaf() const { return checked(impl_, "is_leaf").node == nullptr; }

Tensor Tensor::grad() const {
  return Tensor(
      checked_leaf(*this, "grad", "only leaves keep a gradient; see gradients()").gradient);
}

void Tensor::set_grad(const Tensor& grad) {
  TensorImpl& impl = checked_leaf(*this, "set_grad", "only leaves keep a gradient");
  if (grad.defined()) {
    ops::require_same("set_grad", {{"tensor", *this}, {"grad", grad}});
    ops::require_shape("set_grad", {"grad", grad}, impl.shape);
  }
  impl.gradient = grad.defined() ? grad.detach().impl() : nullptr;
}

void Tensor::zero_grad() { checked(impl_, "zero_grad").gradient = nullptr; }

void Tensor::set_data(const Tensor& source) {
  TensorImpl& impl = checked_leaf(*this, "set_data", "only leaves take it");
  const TensorImpl& from = checked(source.impl_, "set_data: source");
  if (impl.requires_grad && !is_floating(from.dtype)) {
    throw DtypeError(formatted(
        "set_data: the tensor requires a gradient, source is {}, expected a floating dtype",
        from.dtype));
  }
  impl.storage = from.storage;
  impl.offset = from.offset;
  impl.shape = from.shape;
  impl.dtype = from.dtype;
  impl.gradient = nullptr;
}

const std::shared_ptr<Node>& Tensor::grad_node() const { return checked(impl_, "grad_node").node; }

}  // namespace cks
