#pragma once
#include <cstdint>
#include <string>

#include "cks/core/device.h"

/// What programs need to know of CUDA devices and streams. Declared in every build; without CUDA
/// the count is 0 and the rest throws DeviceError.
namespace cks {

/// Usable CUDA devices: present, with a driver, and of an architecture that this build has code for.
int cuda_device_count();
/// Why cuda_device_count() is 0, or why this device cannot be used; empty if it can.
std::string why_not_usable(Device device);

struct CudaDeviceInfo {
  std::string name;             // "NVIDIA H200"
  int compute_capability = 0;   // 90
  int multiprocessors = 0;
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
  std::string driver;           // highest CUDA version of the driver, "13.0"
  std::string compiled;         // architectures in this build, "75-real;80-real;90a-real;90-virtual"
};
/// Throws DeviceError with why_not_usable().
CudaDeviceInfo cuda_device_info(Device device);

/// Waits until everything queued on the device has ended; throws CudaError if any of it failed.
/// Does nothing for the CPU.
void synchronize(Device device);

/// "auto", "cpu", "cuda" or "cuda:N". auto is the first usable CUDA device, or else the CPU.
/// Throws DeviceError with the reason if a CUDA device is asked for by name and cannot be used.
Device choose_device(const std::string& text);

}  // namespace cks
