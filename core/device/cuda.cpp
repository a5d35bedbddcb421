#include "cks/core/device/cuda.h"

#include <map>
#include <mutex>

#include "cks/config.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

#if CKS_HAS_CUDA
#  include <array>
#  include <atomic>

#  include "cks/kernels/common/cuda_check.h"
#  include "cks/kernels/common/stream.h"
#endif

namespace cks {

#if CKS_HAS_CUDA

namespace {

std::string version_text(int version) {
  return formatted("{}.{}", version / 1000, version % 1000 / 10);
}

/// Why the runtime finds no device at all; empty if it finds one. The count goes to `count`.
std::string why_no_device(int& count) {
  count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) {
    return {};
  }
  cudaGetLastError();
  count = 0;
  if (status == cudaSuccess || status == cudaErrorNoDevice) {
    return "there is no NVIDIA GPU";
  }
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "there is no NVIDIA driver";
  }
  if (status == cudaErrorInsufficientDriver) {
    return formatted("the NVIDIA driver is for CUDA {}, this build needs {}", version_text(driver),
                     version_text(CUDART_VERSION));
  }
  return cudaGetErrorString(status);
}

int attribute_of(int device, cudaDeviceAttr attribute) {
  int value = 0;
  CKS_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

}  // namespace

int cuda_device_count() {
  int count = 0;
  why_no_device(count);
  return count;
}

std::string why_not_usable(Device device) {
  if (device.is_cpu()) {
    return {};
  }
  int count = 0;
  if (std::string reason = why_no_device(count); !reason.empty()) {
    return reason;
  }
  if (device.index < 0 || device.index >= count) {
    return count == 1 ? "there is one CUDA device, number 0"
                      : formatted("there are {} CUDA devices, numbered from 0", count);
  }
  try {
    if (!kernels::cuda::has_code_for(device.index)) {
      const int major = attribute_of(device.index, cudaDevAttrComputeCapabilityMajor);
      const int minor = attribute_of(device.index, cudaDevAttrComputeCapabilityMinor);
      return formatted(
          "its compute capability is {}.{}, this build has code for the architectures {}", major,
          minor, CKS_CUDA_ARCHITECTURES);
    }
  } catch (const CudaError& error) {  // another process has it alone, say
    return error.what();
  }
  return {};
}

bool ops::select_cuda(Device device) {
  if (device.is_cpu()) {
    return false;
  }
  static std::array<std::atomic<bool>, 64> usable{};
  const auto index = static_cast<std::size_t>(device.index);
  if (index >= usable.size() || !usable[index].load(std::memory_order_relaxed)) {
    if (const std::string reason = why_not_usable(device); !reason.empty()) {
      throw DeviceError(formatted("{}: {}", device, reason));
    }
    usable.at(index).store(true, std::memory_order_relaxed);
  }
  kernels::cuda::set_current_device(device.index);
  return true;
}

void ops::require_compiled(Device device) { select_cuda(device); }

CudaDeviceInfo cuda_device_info(Device device) {
  if (!ops::select_cuda(device)) {
    throw DeviceError("cuda_device_info: expected a CUDA device, got cpu");
  }
  cudaDeviceProp properties{};
  CKS_CUDA_CHECK(cudaGetDeviceProperties(&properties, device.index));
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  CKS_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  int driver = 0;
  CKS_CUDA_CHECK(cudaDriverGetVersion(&driver));
  std::array<char, 32> bus_id{};
  CKS_CUDA_CHECK(
      cudaDeviceGetPCIBusId(bus_id.data(), static_cast<int>(bus_id.size()), device.index));
  return {.name = properties.name,
          .bus_id = bus_id.data(),
          .compute_capability = properties.major * 10 + properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .total_bytes = static_cast<std::int64_t>(total_bytes),
          .free_bytes = static_cast<std::int64_t>(free_bytes),
          .driver = version_text(driver),
          .compiled = CKS_CUDA_ARCHITECTURES};
}

std::string cuda_link(Device a, Device b) {
  if (!ops::select_cuda(a) || !ops::select_cuda(b)) {
    throw DeviceError("cuda_link: expected two CUDA devices, got cpu");
  }
  int reaches = 0;
  int is_atomic = 0;  // over NVLink alone
  CKS_CUDA_CHECK(
      cudaDeviceGetP2PAttribute(&reaches, cudaDevP2PAttrAccessSupported, a.index, b.index));
  CKS_CUDA_CHECK(
      cudaDeviceGetP2PAttribute(&is_atomic, cudaDevP2PAttrNativeAtomicSupported, a.index, b.index));
  return reaches == 0 ? "host memory" : is_atomic != 0 ? "NVLink" : "PCIe";
}

void synchronize(Device device) {
  if (ops::select_cuda(device)) {
    capture::forbid("synchronize");
    CKS_CUDA_CHECK(cudaDeviceSynchronize());
  }
}

#else

int cuda_device_count() { return 0; }

std::string why_not_usable(Device device) {
  return device.is_cpu() ? "" : "this build has no CUDA (configure with -DCKS_ENABLE_CUDA=ON)";
}

void ops::require_compiled(Device device) {
  if (!device.is_cpu()) {
    throw DeviceError(formatted("{}: {}", device, why_not_usable(device)));
  }
}

bool ops::select_cuda(Device device) {
  require_compiled(device);
  return false;
}

CudaDeviceInfo cuda_device_info(Device device) {
  ops::require_compiled(device);
  throw DeviceError("cuda_device_info: expected a CUDA device, got cpu");
}

std::string cuda_link(Device a, Device /*b*/) {
  ops::require_compiled(a);
  throw DeviceError("cuda_link: expected two CUDA devices, got cpu");
}

void synchronize(Device device) { ops::require_compiled(device); }

#endif

const CudaDeviceInfo& known_cuda_device(Device device) {
  // Never destroyed, as a detached thread may ask while the process ends.
  static auto& mutex = *new std::mutex;
  static auto& known = *new std::map<int, CudaDeviceInfo>();
  const std::lock_guard lock(mutex);
  auto found = known.find(device.index);
  if (found == known.end()) {
    found = known.emplace(device.index, cuda_device_info(device)).first;
  }
  return found->second;
}

std::vector<Precision> precisions_of(Device device) {
  if (device.is_cpu()) {
    return {Precision::fp32, Precision::bf16};
  }
  if (known_cuda_device(device).compute_capability < 80) {
    return {Precision::fp32};
  }
  return {Precision::fp32, Precision::tf32, Precision::bf16};
}

Device choose_device(const std::string& text) {
  if (text == "auto") {
    const int count = cuda_device_count();
    for (int index = 0; index < count; ++index) {
      if (why_not_usable(Device::cuda(index)).empty()) {
        return Device::cuda(index);
      }
    }
    return Device::cpu();
  }
  Device device;
  try {
    device = Device::parse(text);
  } catch (const DeviceError&) {
    throw DeviceError(formatted("device: expected auto, cpu, cuda or cuda:N, got \"{}\"", text));
  }
  if (const std::string reason = why_not_usable(device); !reason.empty()) {
    throw DeviceError(formatted("{}: {}", device, reason));
  }
  return device;
}

}  // namespace cks
