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
struct EventDeleter {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
#endif

/// A moment of a device, of the CPU by its clock.
struct Mark {
  Clock::time_point time{};
#if CKS_HAS_CUDA
  std::unique_ptr<CUevent_st, EventDeleter> event{};
#endif
};

}  // namespace

struct DeviceTimer::Implementation {
  Device device;
  Mark first{};
  Mark last{};

  void set(Mark& mark) const {
#if CKS_HAS_CUDA
    if (ops::select_cuda(device)) {
      capture::forbid("DeviceTimer");
      CKS_CUDA_CHECK(
          cudaEventRecord(mark.event.get(),
                          static_cast<cudaStream_t>(kernels::cuda::current_stream(device.index))));
      return;
    }
#endif
    mark.time = Clock::now();
  }
};

DeviceTimer::DeviceTimer(Device device)
    : implementation_(std::make_unique<Implementation>(Implementation{device})) {
#if CKS_HAS_CUDA
  if (ops::select_cuda(device)) {
    for (Mark* mark : {&implementation_->first, &implementation_->last}) {
      cudaEvent_t event = nullptr;
      CKS_CUDA_CHECK(cudaEventCreate(&event));
      mark->event.reset(event);
    }
  }
#else
  ops::require_compiled(device);
#endif
}

DeviceTimer::~DeviceTimer() = default;

void DeviceTimer::start() { implementation_->set(implementation_->first); }

void DeviceTimer::stop() { implementation_->set(implementation_->last); }

double DeviceTimer::seconds() const {
  const auto& [device, first, last] = *implementation_;
#if CKS_HAS_CUDA
  if (ops::select_cuda(device)) {
    float milliseconds = 0.0F;
    CKS_CUDA_CHECK(cudaEventSynchronize(last.event.get()));
    CKS_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, first.event.get(), last.event.get()));
    return 1e-3 * static_cast<double>(milliseconds);
  }
#endif
  return std::chrono::duration<double>(last.time - first.time).count();
}

}  // namespace cks
