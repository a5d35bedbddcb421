#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/core/device/device.h"
#include "cks/kernels/common/dtype.h"

/// What programs need to know of CUDA devices. Declared in every build; without CUDA the count is 0
/// and asking for a device throws DeviceError. Streams are in core/device/stream.h.
namespace cks {

/// CUDA devices of this machine; 0 without CUDA, a driver or a GPU.
int cuda_device_count();
/// Why this device cannot be used: no CUDA in the build, no driver, no GPU, no device of this
/// number, or no code for its architecture, where both its compute capability and the architectures
/// of the build are named. Empty if it can; the first time, that creates the device's context.
std::string why_not_usable(Device device);

/// What the driver says of a GPU.
struct CudaDeviceInfo {
  std::string name;            // "NVIDIA H200"
  std::string bus_id;          // "0000:1B:00.0"
  int compute_capability = 0;  // 90
  int multiprocessors = 0;
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
  std::string driver;    // highest CUDA version of the driver, "13.0"
  std::string compiled;  // architectures of this build, "75-real;80-real;90a-real;90-virtual"
};
/// Throws DeviceError, with why_not_usable(), for a device that is no usable CUDA device.
CudaDeviceInfo cuda_device_info(Device device);
/// The same, asked once for each device: free_bytes is that of the first time.
const CudaDeviceInfo& known_cuda_device(Device device);

/// The modes in which a device multiplies: fp32 everywhere; bf16 on the CPU, right but not fast; on
/// GPUs tf32 and bf16 from compute capability 8.0 on. Throws DeviceError if it cannot be used.
std::vector<Precision> precisions_of(Device device);

/// How two CUDA devices of this machine reach each other's memory: "NVLink", "PCIe" or, where they
/// cannot, "host memory". Throws DeviceError.
std::string cuda_link(Device a, Device b);

/// Waits until everything queued on the device has ended. Does nothing for the CPU.
/// Throws CudaError if any of it failed, DeviceError if the device cannot be used, CaptureError
/// inside a captured step.
void synchronize(Device device);

/// Reads "auto", "cpu", "cuda" or "cuda:N". auto is the first usable CUDA device, or else the CPU;
/// why_not_usable(Device::cuda()) then says why. Throws DeviceError for another text, and with the
/// reason if a CUDA device is asked for that cannot be used.
Device choose_device(const std::string& text);

}  // namespace cks
