#pragma once
#include <memory>

#include "cks/core/device/device.h"

namespace cks {

/// Time that a device takes for what this thread queues between start() and stop(): between two
/// events of the current stream on a CUDA device, so that the host's own work does not count, by
/// the host's clock on the CPU. Can be used again and again.
class DeviceTimer {
 public:
  /// Throws DeviceError if the device cannot be used.
  explicit DeviceTimer(Device device);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  /// On a CUDA device both throw CaptureError inside a captured step.
  void start();
  void stop();
  /// Seconds between the last start() and stop(), after waiting for the device to come there.
  /// Throws CudaError if anything queued until then failed.
  double seconds() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cks
