#pragma once

namespace cks::kernels::cuda {

/// Makes a device this thread's current one. Cheap if it is already: the thread remembers, so code
/// that calls cudaSetDevice itself sets the device back when it is done.
void set_current_device(int index);
int current_device();

/// The stream on which this thread's operations on its current device are queued, as an opaque
/// cudaStream_t. Until a scope sets another: the device's default stream, one for the whole
/// process, made at the first use; it does not wait for CUDA's own stream 0.
void* current_stream();
void* current_stream(int device);
void* default_stream(int device);
/// Sets this thread's stream of a device, null for the default stream; returns what was set before.
void* exchange_stream(int device, void* stream);
/// Whether what is queued on a stream becomes part of a CUDA graph instead of running.
bool is_being_recorded(void* stream);

/// Sets this thread's stream of its current device until the end of the scope.
class StreamScope {
 public:
  explicit StreamScope(void* stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  int device_;
  void* before_;
};

/// True if this build has code that the device runs. Creates the device's context.
bool has_code_for(int device);

}  // namespace cks::kernels::cuda
