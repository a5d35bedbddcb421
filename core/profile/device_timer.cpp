#include "cks/core/profile/device_timer.h"

#include <chrono>

#include "cks/config.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/dispatch.h"

#if CKS_HAS_CUDA
#  include "cks/kernels/common/cuda_check.h"
#  include "cks/kernels/common/stream.h"
#endif

namespace cks {
namespace {

using Clock = std::chrono::steady_clock;

#if CKS_HAS_CUDA
using Event = std::unique_ptr<CUevent_st, cudaError_t (*)(cudaEvent_t)>;

Event make_event() {
  cudaEvent_t event = nullptr;
  CKS_CUDA_CHECK(cudaEventCreate(&event));
  return {event, cudaEventDestroy};
}
#endif

}  // namespace

struct DeviceTimer::Implementation {
  Device device;
  Clock::time_point begin{};
  Clock::time_point end{};
#if CKS_HAS_CUDA
  Event first{nullptr, cudaEventDestroy};
  Event last{nullptr, cudaEventDestroy};

  void mark(const Event& event) const {
    capture::forbid("DeviceTimer");
    CKS_CUDA_CHECK(cudaEventRecord(
        event.get(), static_cast<cudaStream_t>(kernels::cuda::current_stream(device.index))));
  }
#endif
};

DeviceTimer::DeviceTimer(Device device) : implementation_(std::make_unique<Implementation>()) {
  implementation_->device = device;
#if CKS_HAS_CUDA
  if (ops::select_cuda(device)) {
    implementation_->first = make_event();
    implementation_->last = make_event();
  }
#else
  ops::require_compiled(device);
#endif
}

DeviceTimer::~DeviceTimer() = default;

void DeviceTimer::start() {
#if CKS_HAS_CUDA
  if (ops::select_cuda(implementation_->device)) {
    implementation_->mark(implementation_->first);
    return;
  }
#endif
  implementation_->begin = Clock::now();
}

void DeviceTimer::stop() {
#if CKS_HAS_CUDA
  if (ops::select_cuda(implementation_->device)) {
    implementation_->mark(implementation_->last);
    return;
  }
#endif
  implementation_->end = Clock::now();
}

double DeviceTimer::seconds() const {
#if CKS_HAS_CUDA
  if (ops::select_cuda(implementation_->device)) {
    float milliseconds = 0.0F;
    CKS_CUDA_CHECK(cudaEventSynchronize(implementation_->last.get()));
    CKS_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, implementation_->first.get(),
                                        implementation_->last.get()));
    return 1e-3 * static_cast<double>(milliseconds);
  }
#endif
  return std::chrono::duration<double>(implementation_->end - implementation_->begin).count();
}

}  // namespace cks
