#pragma once
#include <atomic>

#include "cks/core/device/device.h"

namespace cks {

/// Called with a stream whose work has ended, just before it is destroyed. The allocator of CUDA
/// devices, which keeps freed blocks by stream, sets it.
extern std::atomic<void (*)(Device device, void* stream)> on_stream_end;

}  // namespace cks
