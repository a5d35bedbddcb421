#pragma once
#include <initializer_list>
#include <string>

#include "cks/config.h"
#include "cks/core/autograd.h"
#include "cks/core/capture.h"
#include "cks/core/tensor.h"

/// What every operation shares: checks with messages, fresh results, and the call of a kernel.

/// Calls an entry point of kernels for a device: CKS_KERNEL(x.device(), relu_forward(args...)).
#if CKS_HAS_CUDA
#  define CKS_KERNEL(device, call) \
    (::cks::ops::select_cuda(device) ? ::cks::kernels::cuda::call : ::cks::kernels::cpu::call)
#else
#  define CKS_KERNEL(device, call) (::cks::ops::require_compiled(device), ::cks::kernels::cpu::call)
#endif

namespace cks::ops {

/// Throws DeviceError, with the reason, if the device cannot be used by this build. Defined, as
/// select_cuda, in core/cuda.cpp.
void require_compiled(Device device);

/// True, with the device made this thread's current one, for a CUDA device; false for the CPU.
/// Throws DeviceError, with the reason, if the device cannot be used.
bool select_cuda(Device device);

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
