#pragma once

namespace cks::kernels::cuda {

/// The stream on which this thread's operations are queued, as an opaque cudaStream_t. The default
/// stream of the device until a scope sets another.
void* current_stream();

/// Sets it until the end of the scope.
class StreamScope {
 public:
  explicit StreamScope(void* stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  void* before_;
};

}  // namespace cks::kernels::cuda
