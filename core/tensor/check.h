#pragma once
#include <initializer_list>
#include <string>

#include "cks/core/tensor/tensor.h"

/// Checks of tensors that somebody gave, for operations and all else that takes them.

namespace cks::ops {

/// A named argument, for messages.
struct Argument {
  const char* name;
  const Tensor& tensor;
};

/// "[2,3] float32 on cpu".
std::string describe(const Shape& shape, DType dtype, Device device);
bool is_like(const Tensor& tensor, const Shape& shape, DType dtype, Device device);
[[noreturn]] void fail_unlike(const Tensor& tensor, const Shape& shape, DType dtype, Device device,
                              const std::string& begin);

/// Throw, naming the operation, the argument, what came and what was expected:
/// Error if undefined; DeviceError, DtypeError if they differ from the first; DtypeError unless
/// float32 or float64 (require_floating: or bfloat16); ShapeError.
void require_defined(const char* operation, std::initializer_list<Argument> arguments);
void require_same(const char* operation, std::initializer_list<Argument> arguments);
void require_real(const char* operation, const Argument& argument);
void require_floating(const char* operation, const Argument& argument);
void require_dtype(const char* operation, const Argument& argument, DType dtype);
void require_rank(const char* operation, const Argument& argument, int rank, const char* layout);
void require_shape(const char* operation, const Argument& argument, const Shape& expected);
/// The axis of a tensor of that rank (which may be more than the shape's) as a number in [0, rank).
int checked_axis(const char* operation, int axis, int rank, const Shape& shape);
void require_one_element(const char* operation, const Argument& argument);
/// ShapeError, DtypeError or DeviceError with `begin`, what the tensor is and what was expected,
/// unless it is that.
template <class Begin>
void require_like(const Tensor& tensor, const Shape& shape, DType dtype, Device device,
                  const Begin& begin) {
  if (!is_like(tensor, shape, dtype, device)) {
    fail_unlike(tensor, shape, dtype, device, begin());
  }
}
/// AutogradError if grad mode is on and the tensor requires a gradient, which would stay that of
/// the elements from before.
void require_writable(const char* operation, const Tensor& tensor);
/// DeviceError unless both are on one device, whatever their dtypes.
void require_same_device(const char* operation, const Argument& argument, const Argument& other);
/// What filling with random numbers asks: DtypeError unless float32 or float64; AutogradError as
/// require_writable; Error for bounds that are no bounds, or numbers that the dtype cannot hold.
void require_uniform(const char* operation, const Tensor& tensor, double low, double high);
void require_normal(const char* operation, const Tensor& tensor, double mean, double stddev);
/// Error unless an option lies in [0, 1].
void require_share(const char* operation, const char* option, double value);

}  // namespace cks::ops
