#include "cks/core/tensor/tensor.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>

#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/memory/transfer_impl.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/grad_mode.h"
#include "cks/core/tensor/tensor_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/elementwise/elementwise.h"

namespace cks {
namespace {

std::size_t bytes_of(const char* operation, const Shape& shape, DType dtype) {
  const auto count = static_cast<std::uint64_t>(shape.numel());
  if (count > static_cast<std::uint64_t>(INT64_MAX) / size_of(dtype)) {
    throw OutOfMemoryError(
        formatted("{}: {} of {} does not fit into 63 bits of bytes", operation, shape, dtype));
  }
  return static_cast<std::size_t>(count) * size_of(dtype);
}

void require_type(const char* operation, const TensorImpl& tensor, DType expected) {
  if (tensor.dtype != expected) {
    throw DtypeError(formatted("{}: the tensor is {}, asked for as {} (shape {})", operation,
                               tensor.dtype, expected, tensor.shape));
  }
}

/// Throws DtypeError unless an element of dtype can hold the value.
void require_representable(const char* operation, double value, DType dtype) {
  if (is_floating(dtype)) {
    return;
  }
  double low = 0.0;
  double end = 0.0;  // one above the greatest value: 2^bits, exact where that value is not
  visit_dtype(dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T>) {
      low = static_cast<double>(std::numeric_limits<T>::min());
      end = std::ldexp(1.0, std::numeric_limits<T>::digits);
    }
  });
  if (!(value >= low && value < end && value == std::floor(value))) {
    throw DtypeError(formatted("{}: {} is not a value of {}", operation, value, dtype));
  }
}

}  // namespace

TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl, const char* operation) {
  if (impl == nullptr) {
    throw Error(formatted("{}: the tensor is undefined", operation));
  }
  return *impl;
}

Tensor make_view(std::shared_ptr<Storage> storage, std::int64_t offset, const Shape& shape,
                 DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->offset = offset;
  impl->shape = shape;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  return make_view(Storage::allocate(bytes_of("empty", shape, dtype), device), 0, shape, dtype);
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  return full(shape, 0.0, dtype, device);
}

Tensor Tensor::ones(Shape shape, DType dtype, Device device) {
  return full(shape, 1.0, dtype, device);
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  require_representable("full", value, dtype);
  Tensor result = empty(shape, dtype, device);
  CKS_KERNEL(device, fill(dtype, result.numel(), value, result.data()));
  return result;
}

Tensor Tensor::scalar(double value, DType dtype, Device device) {
  return full({}, value, dtype, device);
}

Tensor Tensor::arange(std::int64_t count, DType dtype, Device device) {
  if (count < 0) {
    throw ShapeError(formatted("arange: count must not be negative, got {}", count));
  }
  if (count > 0) {
    require_representable("arange", static_cast<double>(count - 1), dtype);
  }
  Tensor values = empty({count}, DType::int64);
  std::iota(values.data_as<std::int64_t>(), values.data_as<std::int64_t>() + count, 0);
  return values.to(dtype).to(device);
}

template <class T>
Tensor Tensor::from_vector(const std::vector<T>& values, Shape shape, Device device) {
  if (static_cast<std::int64_t>(values.size()) != shape.numel()) {
    throw ShapeError(
        formatted("from_vector: {} values, shape {} has {}", values.size(), shape, shape.numel()));
  }
  Tensor result = empty(shape, dtype_of<T>(), device);
  copy_bytes("from_vector", device, result.data(), Device::cpu(), values.data(),
             values.size() * sizeof(T));
  return result;
}

Tensor Tensor::from_blob(void* data, Shape shape, DType dtype, Device device,
                         std::function<void(void*)> deleter) {
  const std::size_t bytes = bytes_of("from_blob", shape, dtype);
  ops::require_compiled(device);
  if (data == nullptr && bytes > 0) {
    throw Error(formatted("from_blob: data is null, expected {} bytes for {}", bytes, shape));
  }
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) != 0) {
    throw Error(formatted("from_blob: data is not aligned for {}, expected a multiple of {} bytes",
                          dtype, size_of(dtype)));
  }
  if (device.is_cuda() && bytes > 0) {
    require_memory_of("from_blob", device, data);
  }
  return make_view(Storage::adopt(data, bytes, device, std::move(deleter)), 0, shape, dtype);
}

const Shape& Tensor::shape() const { return checked(impl_, "shape").shape; }

DType Tensor::dtype() const { return checked(impl_, "dtype").dtype; }

Device Tensor::device() const { return checked(impl_, "device").storage->device(); }

void* Tensor::data() {
  const TensorImpl& impl = checked(impl_, "data");
  return impl.storage->data() + static_cast<std::size_t>(impl.offset) * size_of(impl.dtype);
}

const void* Tensor::data() const { return const_cast<Tensor*>(this)->data(); }

template <class T>
T* Tensor::data_as() {
  require_type("data_as", checked(impl_, "data_as"), dtype_of<T>());
  return static_cast<T*>(data());
}

template <class T>
const T* Tensor::data_as() const {
  return const_cast<Tensor*>(this)->data_as<T>();
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  require_type("to_vector", checked(impl_, "to_vector"), dtype_of<T>());
  capture::forbid("to_vector");
  std::vector<T> elements(static_cast<std::size_t>(numel()));
  copy_bytes("to_vector", Device::cpu(), elements.data(), device(), data(),
             elements.size() * sizeof(T));
  return elements;
}

double Tensor::item() const {
  const TensorImpl& impl = checked(impl_, "item");
  if (impl.shape.numel() != 1) {
    throw ShapeError(formatted("item: expected one element, the tensor has shape {}", impl.shape));
  }
  capture::forbid("item");
  double element = 0.0;  // room for one of any dtype
  copy_bytes("item", Device::cpu(), &element, device(), data(), size_of(impl.dtype));
  double value = 0.0;
  kernels::cpu::convert(impl.dtype, DType::float64, 1, &element, &value);
  return value;
}

Tensor& Tensor::fill_(double value) {
  const TensorImpl& impl = checked(impl_, "fill_");
  ops::require_writable("fill_", *this);
  require_representable("fill_", value, impl.dtype);
  CKS_KERNEL(device(), fill(impl.dtype, numel(), value, data()));
  bump_version();
  return *this;
}

Tensor& Tensor::copy_(const Tensor& source) {
  checked(impl_, "copy_");
  checked(source.impl_, "copy_: source");
  if (!(source.shape() == shape())) {
    throw ShapeError(formatted("copy_: source has shape {}, expected {}", source.shape(), shape()));
  }
  ops::require_writable("copy_", *this);
  if (grad_enabled() && source.requires_grad()) {
    throw AutogradError(formatted(
        "copy_: source requires a gradient, and a copy into a tensor is not recorded; copy "
        "source.detach(), or write under NoGradGuard (shape {})",
        shape()));
  }
  if (!(source.device() == device()) && source.dtype() == dtype()) {
    copy_bytes("copy_", device(), data(), source.device(), source.data(), nbytes());
  } else {
    Tensor local = source.detach().to(device());
    if (local.storage() == storage()) {
      local = local.clone();  // the two may overlap
    }
    CKS_KERNEL(device(), convert(local.dtype(), dtype(), numel(), local.data(), data()));
  }
  bump_version();
  return *this;
}

std::uint64_t Tensor::version() const { return checked(impl_, "version").storage->version(); }

void Tensor::bump_version() {
  const std::shared_ptr<Storage>& written = checked(impl_, "bump_version").storage;
  written->bump_version();
  capture::note_write(written);
}

const std::shared_ptr<Storage>& Tensor::storage() const {
  return checked(impl_, "storage").storage;
}

std::int64_t Tensor::storage_offset() const { return checked(impl_, "storage_offset").offset; }

// NOLINTBEGIN(bugprone-macro-parentheses): T is a type
#define CKS_INSTANTIATE(T)                                                   \
  template Tensor Tensor::from_vector(const std::vector<T>&, Shape, Device); \
  template T* Tensor::data_as<T>();                                          \
  template const T* Tensor::data_as<T>() const;                              \
  template std::vector<T> Tensor::to_vector<T>() const;
CKS_INSTANTIATE(float)
CKS_INSTANTIATE(bfloat16)
CKS_INSTANTIATE(double)
CKS_INSTANTIATE(std::int64_t)
CKS_INSTANTIATE(std::int32_t)
CKS_INSTANTIATE(std::uint8_t)
#undef CKS_INSTANTIATE
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace cks
