#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/memory/transfer_impl.h"
#include "cks/core/ops/output.h"
#include "cks/core/ops/traced_options_impl.h"
#include "cks/core/tensor/tensor.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

// Copies and views of Tensor: reshape, slice, clone, detach, to.

namespace cks {
namespace {

Tensor copy_elements(const char* operation, const Tensor& input, DType dtype) {
  Tensor result = ops::make_output(operation, input.shape(), dtype, input.device());
  CKS_KERNEL(input.device(),
             convert(input.dtype(), dtype, input.numel(), input.data(), result.data()));
  return result;
}

}  // namespace

Tensor Tensor::reshape(std::initializer_list<std::int64_t> extents) const {
  return reshape(std::vector<std::int64_t>(extents));
}

Tensor Tensor::reshape(const std::vector<std::int64_t>& extents) const {
  ops::require_defined("reshape", {{"tensor", *this}});
  std::vector<std::int64_t> inferred = extents;
  std::int64_t* unknown = nullptr;
  std::vector<std::int64_t> known;
  for (std::int64_t& extent : inferred) {
    if (extent != -1) {
      known.push_back(extent);
    } else if (unknown == nullptr) {
      unknown = &extent;
    } else {
      throw ShapeError(formatted("reshape: more than one extent is -1 (tensor {})", shape()));
    }
  }
  if (unknown != nullptr) {
    const std::int64_t product = Shape(known).numel();
    if (product == 0 || numel() % product != 0) {
      throw ShapeError(formatted(
          "reshape: the extent -1 cannot be inferred: {} has {} elements, the other extents are {}",
          shape(), numel(), Shape(known)));
    }
    *unknown = numel() / product;
  }
  return reshape(Shape(inferred));
}

Tensor Tensor::reshape(const Shape& new_shape) const {
  ops::require_defined("reshape", {{"tensor", *this}});
  if (new_shape.numel() != numel()) {
    throw ShapeError(formatted("reshape: {} has {} elements, {} has {}", shape(), numel(),
                               new_shape, new_shape.numel()));
  }
  capture::note_result("reshape", new_shape, device());
  Tensor view = make_view(storage(), storage_offset(), new_shape, dtype());
  view.impl()->is_part = impl()->is_part;
  note_options(ops::NoOptions{});
  return record("reshape", std::move(view), {*this},
                [input = shape()](const Tensor& grad) { return grad.reshape(input); });
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  ops::require_defined("slice", {{"tensor", *this}});
  if (rank() == 0) {
    throw ShapeError("slice: the tensor has rank 0, expected at least one axis");
  }
  const std::int64_t rows = size(0);
  if (begin < 0 || end < begin || end > rows) {
    throw ShapeError(
        formatted("slice: rows [{},{}) are not within [0,{}) of {}", begin, end, rows, shape()));
  }
  const Shape result_shape = shape().with(0, end - begin);
  const std::int64_t row_elements = rows == 0 ? 0 : numel() / rows;
  capture::note_result("slice", result_shape, device());
  Tensor part =
      make_view(storage(), storage_offset() + begin * row_elements, result_shape, dtype());
  part.impl()->is_part = true;
  note_options(ops::Range{0, begin, end});
  return record("slice", std::move(part), {*this}, [input = shape(), begin](const Tensor& grad) {
    Tensor grad_input = Tensor::zeros(input, grad.dtype(), grad.device());
    grad_input.slice(begin, begin + grad.size(0)).copy_(grad);
    return grad_input;
  });
}

Tensor Tensor::operator[](std::int64_t index) const {
  ops::require_defined("index", {{"tensor", *this}});
  if (rank() == 0) {
    throw ShapeError("index: the tensor has rank 0, expected at least one axis");
  }
  const std::int64_t rows = size(0);
  if (index < -rows || index >= rows) {
    throw ShapeError(
        formatted("index: {} is not within [{},{}) of {}", index, -rows, rows, shape()));
  }
  const std::int64_t row = index < 0 ? index + rows : index;
  return slice(row, row + 1).reshape(std::vector<std::int64_t>(shape().begin() + 1, shape().end()));
}

Tensor Tensor::clone() const {
  ops::require_defined("clone", {{"tensor", *this}});
  note_options(ops::NoOptions{});
  return record("clone", copy_elements("clone", *this, dtype()), {*this},
                [](const Tensor& grad) { return grad; });
}

Tensor Tensor::detach() const {
  ops::require_defined("detach", {{"tensor", *this}});
  return make_view(storage(), storage_offset(), shape(), dtype());
}

Tensor Tensor::to(DType new_dtype) const {
  ops::require_defined("to", {{"tensor", *this}});
  if (new_dtype == dtype()) {
    return *this;
  }
  Tensor result = copy_elements("to", *this, new_dtype);
  if (!is_floating(new_dtype)) {
    return result;
  }
  note_options(ops::NoOptions{});
  return record("to", std::move(result), {*this},
                [input = dtype()](const Tensor& grad) { return grad.to(input); });
}

Tensor Tensor::to(Device new_device) const {
  ops::require_defined("to", {{"tensor", *this}});
  if (new_device == device()) {
    return *this;
  }
  Tensor result = ops::make_output("to", shape(), dtype(), new_device);
  copy_bytes("to", new_device, result.data(), device(), data(), nbytes());
  note_options(ops::NoOptions{});
  return record("to", std::move(result), {*this},
                [input = device()](const Tensor& grad) { return grad.to(input); });
}

}  // namespace cks
