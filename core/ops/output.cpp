#include "cks/core/ops/output.h"

#include <vector>

#include "cks/core/device/cuda.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::ops {

Tensor make_output(const char* operation, const Shape& shape, DType dtype, Device device) {
  capture::note_result(operation, shape, device);
  try {
    return Tensor::empty(shape, dtype, device);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(
        formatted("{}: {}, for a result {} of {}", operation, error.what(), shape, dtype));
  }
}

std::shared_ptr<Storage> make_workspace(const char* operation, std::size_t bytes, Device device) {
  try {
    return Storage::allocate(bytes, device);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(formatted("{}: {}, for workspace", operation, error.what()));
  }
}

void require_precision(const char* operation, Device device) {
  if (current_precision() == Precision::fp32) {
    return;
  }
  const std::vector<Precision> modes = precisions_of(device);
  if (!contains(modes, current_precision())) {
    throw DeviceError(formatted("{}: {} has no precision mode {}; it has {}", operation, device,
                                current_precision(), list_text(modes)));
  }
}

}  // namespace cks::ops
