#pragma once
#include <memory>

#include "cks/core/autograd/autograd.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/tensor/check.h"
#include "cks/core/tensor/tensor.h"

/// What every operation needs beside its kernel: fresh results, workspace, and by inclusion the
/// checks of arguments (tensor/check.h), CKS_KERNEL (device/dispatch.h) and the tape.

namespace cks::ops {

/// A fresh result of an operation; a captured step checks that its shapes never change.
Tensor make_output(const char* operation, const Shape& shape, DType dtype, Device device);
/// The same with the shape, dtype and device of another tensor.
inline Tensor make_output(const char* operation, const Tensor& like) {
  return make_output(operation, like.shape(), like.dtype(), like.device());
}
/// The same with the dtype and device of another tensor.
inline Tensor make_output(const char* operation, const Shape& shape, const Tensor& like) {
  return make_output(operation, shape, like.dtype(), like.device());
}
/// Scratch memory of an operation's kernel, for as long as the handle lives: on a CUDA device it
/// may go when the kernel is queued.
std::shared_ptr<Storage> make_workspace(const char* operation, std::size_t bytes, Device device);

/// For an argument that may be missing, as kernels take it.
inline const void* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data() : nullptr;
}

/// Throws DeviceError if the device lacks this thread's precision mode (precisions_of). For
/// operations that multiply matrices or convolve.
void require_precision(const char* operation, Device device);

}  // namespace cks::ops
