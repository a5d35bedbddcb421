#include <cstring>

#include "cks/config.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/error.h"
#include "cks/core/memory/transfer_impl.h"
#include "cks/kernels/common/formatted_impl.h"

#if CKS_HAS_CUDA
#  include <algorithm>
#  include <array>
#  include <mutex>
#  include <vector>

#  include "cks/core/device/stream.h"
#  include "cks/kernels/common/cuda_check.h"
#  include "cks/kernels/common/stream.h"
#endif

namespace cks {

#if CKS_HAS_CUDA

namespace {

cudaStream_t stream_of(Device device) {
  return static_cast<cudaStream_t>(kernels::cuda::current_stream(device.index));
}

/// Pinned memory of one device in equal buffers, used in turn. A buffer is written again only when
/// the copy that read it last has ended.
class Staging {
 public:
  // Never destroyed: the driver may be gone before static objects are.
  static Staging& of(Device device) {
    static auto& all = *new std::array<Staging, 64>();
    return all.at(static_cast<std::size_t>(device.index));
  }

  /// The device is current.
  void copy_to_device(Device device, void* target, const void* source, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const cudaStream_t stream = stream_of(device);
    for (std::size_t done = 0; done < bytes; done += kBufferBytes) {
      const std::size_t count = std::min(bytes - done, kBufferBytes);
      Buffer& buffer = next_buffer();
      std::memcpy(buffer.data, static_cast<const std::byte*>(source) + done, count);
      CKS_CUDA_CHECK(cudaMemcpyAsync(static_cast<std::byte*>(target) + done, buffer.data, count,
                                     cudaMemcpyHostToDevice, stream));
      CKS_CUDA_CHECK(cudaEventRecord(buffer.read, stream));
    }
  }

 private:
  struct Buffer {
    void* data = nullptr;
    cudaEvent_t read = nullptr;  // the last copy from it has ended
  };
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
  static constexpr std::size_t kBuffers = 16;

  /// A buffer that nothing reads: the oldest, or a new one while there are few.
  Buffer& next_buffer() {
    if (!buffers_.empty()) {
      const cudaEvent_t oldest = buffers_.front().read;
      const cudaError_t status = cudaEventQuery(oldest);
      if (status == cudaErrorNotReady) {
        cudaGetLastError();
      } else {
        CKS_CUDA_CHECK(status);
      }
      if (status == cudaSuccess || buffers_.size() == kBuffers) {
        CKS_CUDA_CHECK(cudaEventSynchronize(oldest));
        std::rotate(buffers_.begin(), buffers_.begin() + 1, buffers_.end());
        return buffers_.back();
      }
    }
    Buffer made;
    CKS_CUDA_CHECK(cudaEventCreateWithFlags(&made.read, cudaEventDisableTiming));
    if (const cudaError_t status = cudaMallocHost(&made.data, kBufferBytes);
        status != cudaSuccess) {
      cudaEventDestroy(made.read);
      CKS_CUDA_CHECK(status);
    }
    return buffers_.emplace_back(made);
  }

  std::mutex mutex_;
  std::vector<Buffer> buffers_;  // the one used last at the end
};

/// Both streams pass the copy together: it starts when `from` has come here, and `from` goes on
/// when it has ended.
void copy_between_devices(Device to, void* target, Device from, const void* source,
                          std::size_t bytes) {
  const Stream writer = Stream::current(to);
  const Stream reader = Stream::current(from);
  writer.wait_for(reader);
  ops::select_cuda(to);
  CKS_CUDA_CHECK(cudaMemcpyPeerAsync(target, to.index, source, from.index, bytes, stream_of(to)));
  reader.wait_for(writer);
}

}  // namespace

void copy_bytes(const char* operation, Device to, void* target, Device from, const void* source,
                std::size_t bytes) {
  ops::require_compiled(to);
  ops::require_compiled(from);
  if (capture::active() && !(to == from)) {
    throw CaptureError(
        formatted("{}: a copy from {} to {} is not allowed inside a captured step; do it before or "
                  "after run()",
                  operation, from, to));
  }
  if (bytes == 0) {
    return;
  }
  if (to.is_cuda() && from.is_cuda() && !(to == from)) {
    copy_between_devices(to, target, from, source, bytes);
    return;
  }
  const Device device = to.is_cuda() ? to : from;
  if (!ops::select_cuda(device)) {
    std::memcpy(target, source, bytes);
    return;
  }
  const cudaStream_t stream = stream_of(device);
  if (from.is_cpu()) {
    Staging::of(device).copy_to_device(device, target, source, bytes);
  } else if (to.is_cpu()) {
    CKS_CUDA_CHECK(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream));
    CKS_CUDA_CHECK(cudaStreamSynchronize(stream));
  } else {
    CKS_CUDA_CHECK(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream));
  }
}

void require_memory_of(const char* operation, Device device, const void* data) {
  ops::select_cuda(device);
  cudaPointerAttributes attributes{};
  CKS_CUDA_CHECK(cudaPointerGetAttributes(&attributes, data));
  const bool reachable =
      attributes.type == cudaMemoryTypeManaged ||
      (attributes.type == cudaMemoryTypeDevice && attributes.device == device.index);
  if (!reachable) {
    throw Error(formatted("{}: data is no memory of {}{}", operation, device,
                          attributes.type == cudaMemoryTypeDevice
                              ? ", but of " + Device::cuda(attributes.device).to_string()
                              : ", but of the host"));
  }
}

#else

void copy_bytes(const char*, Device to, void* target, Device from, const void* source,
                std::size_t bytes) {
  ops::require_compiled(to);
  ops::require_compiled(from);
  if (bytes > 0) {
    std::memcpy(target, source, bytes);
  }
}

void require_memory_of(const char*, Device device, const void*) { ops::require_compiled(device); }

#endif

}  // namespace cks
