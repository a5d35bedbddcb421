#include "cks/core/tensor/check.h"

#include "cks/core/tensor/grad_mode.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::ops {
namespace {

/// " (a [2,3] float32, b [3] float64)"; undefined arguments are named so.
std::string print_all(std::initializer_list<Argument> arguments) {
  std::string text;
  for (const auto& [name, tensor] : arguments) {
    text += text.empty() ? " (" : ", ";
    text += tensor.defined() ? formatted("{} {} {}", name, tensor.shape(), tensor.dtype())
                             : formatted("{} undefined", name);
  }
  return text + ")";
}

}  // namespace

void require_defined(const char* operation, std::initializer_list<Argument> arguments) {
  for (const auto& [name, tensor] : arguments) {
    if (!tensor.defined()) {
      throw Error(formatted("{}: {} is undefined{}", operation, name, print_all(arguments)));
    }
  }
}

void require_writable(const char* operation, const Tensor& tensor) {
  if (grad_enabled() && tensor.requires_grad()) {
    throw AutogradError(
        formatted("{}: the tensor requires a gradient; write under NoGradGuard (shape {})",
                  operation, tensor.shape()));
  }
}

void require_same(const char* operation, std::initializer_list<Argument> arguments) {
  require_defined(operation, arguments);
  const Argument& first = *arguments.begin();
  for (const auto& [name, tensor] : arguments) {
    if (!(tensor.device() == first.tensor.device())) {
      throw DeviceError(formatted("{}: {} is on {}, {} on {}{}", operation, name, tensor.device(),
                                  first.name, first.tensor.device(), print_all(arguments)));
    }
    if (tensor.dtype() != first.tensor.dtype()) {
      throw DtypeError(formatted("{}: {} has dtype {}, {} has {}{}", operation, name,
                                 tensor.dtype(), first.name, first.tensor.dtype(),
                                 print_all(arguments)));
    }
  }
}

void require_real(const char* operation, const Argument& argument) {
  require_defined(operation, {argument});
  const DType dtype = argument.tensor.dtype();
  if (dtype != DType::float32 && dtype != DType::float64) {
    throw DtypeError(formatted("{}: {} has dtype {}, expected float32 or float64{}", operation,
                               argument.name, dtype, print_all({argument})));
  }
}

void require_floating(const char* operation, const Argument& argument) {
  if (!argument.tensor.defined() || argument.tensor.dtype() != DType::bfloat16) {
    require_real(operation, argument);
  }
}

void require_dtype(const char* operation, const Argument& argument, DType dtype) {
  require_defined(operation, {argument});
  if (argument.tensor.dtype() != dtype) {
    throw DtypeError(formatted("{}: {} has dtype {}, expected {}{}", operation, argument.name,
                               argument.tensor.dtype(), dtype, print_all({argument})));
  }
}

void require_rank(const char* operation, const Argument& argument, int rank, const char* layout) {
  require_defined(operation, {argument});
  if (argument.tensor.rank() != rank) {
    throw ShapeError(formatted("{}: {} has shape {}, expected rank {} ({})", operation,
                               argument.name, argument.tensor.shape(), rank, layout));
  }
}

void require_shape(const char* operation, const Argument& argument, const Shape& expected) {
  require_defined(operation, {argument});
  if (!(argument.tensor.shape() == expected)) {
    throw ShapeError(formatted("{}: {} has shape {}, expected {}", operation, argument.name,
                               argument.tensor.shape(), expected));
  }
}

int checked_axis(const char* operation, int axis, int rank, const Shape& shape) {
  if (axis < -rank || axis >= rank) {
    throw ShapeError(formatted("{}: axis {} is out of range for input {}", operation, axis, shape));
  }
  return axis < 0 ? axis + rank : axis;
}

std::string describe(const Shape& shape, DType dtype, Device device) {
  return formatted("{} {} on {}", shape, dtype, device);
}

bool is_like(const Tensor& tensor, const Shape& shape, DType dtype, Device device) {
  return tensor.shape() == shape && tensor.dtype() == dtype && tensor.device() == device;
}

void fail_unlike(const Tensor& tensor, const Shape& shape, DType dtype, Device device,
                 const std::string& begin) {
  const std::string message = formatted("{} {}, expected {}", begin,
                                        describe(tensor.shape(), tensor.dtype(), tensor.device()),
                                        describe(shape, dtype, device));
  if (!(tensor.shape() == shape)) {
    throw ShapeError(message);
  }
  if (tensor.dtype() != dtype) {
    throw DtypeError(message);
  }
  throw DeviceError(message);
}

void require_one_element(const char* operation, const Argument& argument) {
  require_defined(operation, {argument});
  if (argument.tensor.numel() != 1) {
    throw ShapeError(formatted("{}: {} has shape {}, expected one element", operation,
                               argument.name, argument.tensor.shape()));
  }
}

void require_same_device(const char* operation, const Argument& argument, const Argument& other) {
  require_defined(operation, {argument, other});
  if (!(argument.tensor.device() == other.tensor.device())) {
    throw DeviceError(formatted("{}: {} is on {}, {} on {}", operation, argument.name,
                                argument.tensor.device(), other.name, other.tensor.device()));
  }
}

void require_share(const char* operation, const char* option, double value) {
  if (!(value >= 0.0 && value <= 1.0)) {
    throw Error(formatted("{}: {} must lie in [0, 1], got {}", operation, option, value));
  }
}

}  // namespace cks::ops
