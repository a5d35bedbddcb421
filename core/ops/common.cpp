#include "cks/core/ops/common.h"

namespace cks::ops {
namespace {

/// " (a [2,3] float32, b [3] float64)"; undefined arguments are named so.
std::string print_all(std::initializer_list<Argument> arguments) {
  std::string text = " (";
  for (const Argument& argument : arguments) {
    text += &argument == arguments.begin() ? "" : ", ";
    text += argument.name;
    text += ' ';
    if (argument.tensor.defined()) {
      text += argument.tensor.shape().to_string() + " " + name_of(argument.tensor.dtype());
    } else {
      text += "undefined";
    }
  }
  return text + ")";
}

std::string subject(const char* operation, const Argument& argument) {
  return std::string(operation) + ": " + argument.name;
}

}  // namespace

void require_precision(const char* operation, Device device) {
  if (current_precision() != Precision::fp32) {
    throw DeviceError(std::string(operation) + ": " + device.to_string() +
                      " has no precision mode " + name_of(current_precision()) + ", expected fp32");
  }
}

void require_defined(const char* operation, std::initializer_list<Argument> arguments) {
  for (const Argument& argument : arguments) {
    if (!argument.tensor.defined()) {
      throw Error(subject(operation, argument) + " is undefined" + print_all(arguments));
    }
  }
}

void require_same(const char* operation, std::initializer_list<Argument> arguments) {
  require_defined(operation, arguments);
  const Argument& first = *arguments.begin();
  for (const Argument& argument : arguments) {
    if (!(argument.tensor.device() == first.tensor.device())) {
      throw DeviceError(subject(operation, argument) + " is on " +
                        argument.tensor.device().to_string() + ", " + first.name + " on " +
                        first.tensor.device().to_string() + print_all(arguments));
    }
    if (argument.tensor.dtype() != first.tensor.dtype()) {
      throw DtypeError(subject(operation, argument) + " has dtype " +
                       name_of(argument.tensor.dtype()) + ", " + first.name + " has " +
                       name_of(first.tensor.dtype()) + print_all(arguments));
    }
  }
}

void require_real(const char* operation, const Argument& argument) {
  require_defined(operation, {argument});
  const DType dtype = argument.tensor.dtype();
  if (dtype != DType::float32 && dtype != DType::float64) {
    throw DtypeError(subject(operation, argument) + " has dtype " + name_of(dtype) +
                     ", expected float32 or float64" + print_all({argument}));
  }
}

void require_dtype(const char* operation, const Argument& argument, DType dtype) {
  require_defined(operation, {argument});
  if (argument.tensor.dtype() != dtype) {
    throw DtypeError(subject(operation, argument) + " has dtype " +
                     name_of(argument.tensor.dtype()) + ", expected " + name_of(dtype) +
                     print_all({argument}));
  }
}

void require_rank(const char* operation, const Argument& argument, int rank, const char* layout) {
  require_defined(operation, {argument});
  if (argument.tensor.rank() != rank) {
    throw ShapeError(subject(operation, argument) + " has shape " +
                     argument.tensor.shape().to_string() + ", expected rank " +
                     std::to_string(rank) + " (" + layout + ")");
  }
}

void require_shape(const char* operation, const Argument& argument, const Shape& expected) {
  require_defined(operation, {argument});
  if (!(argument.tensor.shape() == expected)) {
    throw ShapeError(subject(operation, argument) + " has shape " +
                     argument.tensor.shape().to_string() + ", expected " + expected.to_string());
  }
}

Tensor make_output(const char* operation, const Shape& shape, DType dtype, Device device) {
  capture::note_result(operation, shape, device);
  try {
    return Tensor::empty(shape, dtype, device);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(std::string(operation) + ": " + error.what() + ", for a result " +
                           shape.to_string() + " of " + name_of(dtype));
  }
}

std::shared_ptr<Storage> make_workspace(const char* operation, std::size_t bytes, Device device) {
  try {
    return Storage::allocate(bytes, device);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(std::string(operation) + ": " + error.what() + ", for workspace");
  }
}

}  // namespace cks::ops
