#pragma once
#include <stdexcept>
#include <string>

namespace cks {

/// Base of every exception that the project throws. The message names the operation, the argument,
/// what came and what was expected, with all shapes, files and bytes.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;

  /// Lengthens the message of an exception that is on its way, so that it keeps its type:
  /// catch (Error& error) { error.append("..."); throw; }
  void append(const std::string& text) {
    std::runtime_error::operator=(std::runtime_error(std::runtime_error::what() + text));
  }
  /// append() for where it happened. Only the first of several calls counts: the innermost place.
  void append_place(const std::string& place) {
    if (!has_place_) {
      append(place);
      has_place_ = true;
    }
  }

 private:
  bool has_place_ = false;
};

/// A shape, an extent or an option does not fit.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A dtype is mixed, unsupported or not the one that was asked for.
class DtypeError : public Error {
 public:
  using Error::Error;
};

/// A device is missing, or tensors live on different devices.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A call of the CUDA runtime or a kernel failed; after most of them the device is lost to the
/// process.
class CudaError : public Error {
 public:
  using Error::Error;
};

/// A forced convolution plan does not exist or does not take the problem.
class PlanError : public Error {
 public:
  using Error::Error;
};

}  // namespace cks
