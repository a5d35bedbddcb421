#pragma once
#include <initializer_list>
#include <string>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/capture.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/tensor/tensor.h"

/// What every operation shares: checks with messages, and fresh results.

namespace cks::ops {

/// Throws DeviceError if the device lacks this thread's precision mode: all have fp32 only so far.
/// For operations that multiply matrices or convolve.
void require_precision(const char* operation, Device device);

/// A named argument, for messages.
struct Argument {
  const char* name;
  const Tensor& tensor;
};

/// Throw, naming the operation, the argument, what came and what was expected:
/// Error if undefined; DeviceError, DtypeError if they differ from the first; DtypeError unless
/// float32 or float64; ShapeError.
void require_defined(const char* operation, std::initializer_list<Argument> arguments);
void require_same(const char* operation, std::initializer_list<Argument> arguments);
void require_real(const char* operation, const Argument& argument);
void require_dtype(const char* operation, const Argument& argument, DType dtype);
void require_rank(const char* operation, const Argument& argument, int rank, const char* layout);
void require_shape(const char* operation, const Argument& argument, const Shape& expected);

/// A fresh result of an operation; a captured step checks that its shapes never change.
Tensor make_output(const char* operation, const Shape& shape, DType dtype, Device device);
/// Scratch memory of an operation's kernel, for as long as the handle lives: on a CUDA device it
/// may go when the kernel is queued.
std::shared_ptr<Storage> make_workspace(const char* operation, std::size_t bytes, Device device);

}  // namespace cks::ops
