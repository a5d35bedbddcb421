#include "cks/core/device/cuda.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/device/stream_impl.h"
#include "cks/core/memory/allocator_impl.h"
#include "cks/kernels/common/cuda_check.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/stream.h"

// The memory of CUDA devices.

namespace cks {
namespace {

class CudaAllocator : public Allocator {
 public:
  explicit CudaAllocator(Device device)
      : Allocator(device, static_cast<std::size_t>(cuda_device_info(device).total_bytes)) {}

 private:
  std::byte* from_system(std::size_t size) override {
    ops::select_cuda(device_);
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, size);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    CKS_CUDA_CHECK(status);
    return static_cast<std::byte*>(block);
  }

  void to_system(std::byte* block) override {
    // Waits for the device. At the end of a process the runtime may be gone already: no error then.
    if (cudaFree(block) != cudaSuccess) {
      cudaGetLastError();
    }
  }

  void* current_stream() const override { return kernels::cuda::current_stream(device_.index); }

  std::string describe_device() const override {
    const CudaDeviceInfo info = cuda_device_info(device_);
    return formatted("{} of {} free on the device, ", info.free_bytes, info.total_bytes);
  }
};

}  // namespace

Allocator* make_cuda_allocator(Device device) {
  on_stream_end = [](Device owner, void* stream) {
    try {
      allocator_of(owner).retire_stream(stream, kernels::cuda::default_stream(owner.index));
    } catch (const Error&) {
      // At the end of a process the runtime may be gone already.
    }
  };
  return new CudaAllocator(device);
}

}  // namespace cks
