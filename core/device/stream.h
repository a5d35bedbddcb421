#pragma once
#include <memory>

#include "cks/core/device/device.h"

namespace cks {

/// A queue of a CUDA device: what is queued on one stream runs in order, different streams run side
/// by side. A thread's operations go to its current stream, which is the device's default stream,
/// one for the whole process, until a StreamGuard sets another.
///
/// The allocator reuses a freed tensor's memory in the order of the stream on which it was
/// allocated: use a tensor of another stream only after wait_for(), and let that stream wait in
/// turn before the tensor goes.
///
/// For a kernel of one's own: give it tensor.data() and the stream
/// Stream::current(device).handle(), and call tensor.bump_version() for what it writes. Host
/// pointers are never needed. On the CPU, whose operations end when they return, a stream has no
/// handle and nothing to wait for.
class Stream {
 public:
  /// A new stream, which does not wait for CUDA's stream 0. Throws DeviceError.
  explicit Stream(Device device);
  /// This thread's current stream of the device.
  static Stream current(Device device);

  /// The cudaStream_t; null on the CPU.
  void* handle() const { return handle_.get(); }
  Device device() const { return device_; }
  /// Waits on the host until everything queued so far has ended. Throws CudaError if any of it
  /// failed, CaptureError inside a captured step.
  void synchronize() const;
  /// Work queued here from now on starts when what `other` holds now has ended. The host does not
  /// wait.
  void wait_for(const Stream& other) const;

 private:
  Stream(Device device, std::shared_ptr<void> handle);

  Device device_;
  std::shared_ptr<void> handle_;  // destroyed with the last copy, once its work has ended
};

/// Makes a stream this thread's current one of its device until the end of the scope.
class StreamGuard {
 public:
  explicit StreamGuard(const Stream& stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  Stream stream_;
  [[maybe_unused]] void* before_ = nullptr;
};

}  // namespace cks
