#pragma once
#include "cks/kernels/common/error.h"

namespace cks {

/// A file or stream cannot be read or written, or its bytes are not what they should be.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Memory ran out. Names the bytes asked for, the bytes in use, the operation and the module path.
class OutOfMemoryError : public Error {
 public:
  using Error::Error;
};

/// The tape was used in a way it does not allow: a second backward through a freed graph, a saved
/// tensor that changed, double backward, backward from a tensor that needs no gradient.
class AutogradError : public Error {
 public:
  using Error::Error;
};

/// Something that a captured step forbids: reading a value, another shape, a host random number.
class CaptureError : public Error {
 public:
  using Error::Error;
};

}  // namespace cks
