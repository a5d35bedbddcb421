#include "cks/core/device/stream.h"

#include <utility>

#include "cks/config.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/device/stream_impl.h"

#if CKS_HAS_CUDA
#  include "cks/kernels/common/cuda_check.h"
#  include "cks/kernels/common/stream.h"
#endif

namespace cks {

Stream::Stream(Device device, std::shared_ptr<void> handle)
    : device_(device), handle_(std::move(handle)) {}

#if CKS_HAS_CUDA

std::atomic<void (*)(Device, void*)> on_stream_end{nullptr};

namespace {

cudaStream_t as_cuda(void* handle) { return static_cast<cudaStream_t>(handle); }

void destroy_stream(Device device, void* handle) {
  cudaStreamSynchronize(as_cuda(handle));
  if (auto* const tell = on_stream_end.load()) {
    tell(device, handle);
  }
  cudaStreamDestroy(as_cuda(handle));
  cudaGetLastError();
}

}  // namespace

Stream::Stream(Device device) : device_(device) {
  if (ops::select_cuda(device)) {
    cudaStream_t made = nullptr;
    CKS_CUDA_CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    handle_.reset(made, [device](void* handle) { destroy_stream(device, handle); });
  }
}

Stream Stream::current(Device device) {
  if (!ops::select_cuda(device)) {
    return {device, nullptr};
  }
  return {device, {kernels::cuda::current_stream(device.index), [](void*) {}}};
}

void Stream::synchronize() const {
  if (ops::select_cuda(device_)) {
    capture::forbid("Stream::synchronize");
    CKS_CUDA_CHECK(cudaStreamSynchronize(as_cuda(handle())));
  }
}

void Stream::wait_for(const Stream& other) const {
  if (device_.is_cpu() || other.device_.is_cpu() || handle() == other.handle()) {
    return;
  }
  ops::select_cuda(other.device_);  // an event belongs to the device of the stream that it marks
  cudaEvent_t event = nullptr;
  CKS_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const std::unique_ptr<CUevent_st, cudaError_t (*)(cudaEvent_t)> owner(event, cudaEventDestroy);
  CKS_CUDA_CHECK(cudaEventRecord(event, as_cuda(other.handle())));
  CKS_CUDA_CHECK(cudaStreamWaitEvent(as_cuda(handle()), event, 0));
}

StreamGuard::StreamGuard(const Stream& stream) : stream_(stream) {
  if (ops::select_cuda(stream.device())) {
    before_ = kernels::cuda::exchange_stream(stream.device().index, stream.handle());
  }
}

StreamGuard::~StreamGuard() {
  if (stream_.device().is_cuda()) {
    kernels::cuda::exchange_stream(stream_.device().index, before_);
  }
}

#else

Stream::Stream(Device device) : device_(device) { ops::require_compiled(device); }

Stream Stream::current(Device device) { return Stream(device); }

void Stream::synchronize() const {}

void Stream::wait_for(const Stream&) const {}

StreamGuard::StreamGuard(const Stream& stream) : stream_(stream) {}

StreamGuard::~StreamGuard() = default;

#endif

}  // namespace cks
