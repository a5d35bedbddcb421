#pragma once
#include <cstddef>

#include "cks/core/device/device.h"

namespace cks {

/// Copies bytes between places, on the current streams of the CUDA devices among them.
/// - From the host: through pinned memory of the project, so that the caller may reuse `source` at
///   once and does not wait for the device.
/// - To the host: waits until the bytes are there.
/// - Between two devices: each device's stream goes on only when the bytes are over.
/// Throws CudaError; CaptureError, naming the operation, inside a captured step unless both places
/// are one device. Private to core.
void copy_bytes(const char* operation, Device to, void* target, Device from, const void* source,
                std::size_t bytes);

/// Throws Error unless `data` is memory of the CUDA device, DeviceError if it cannot be used.
void require_memory_of(const char* operation, Device device, const void* data);

}  // namespace cks
