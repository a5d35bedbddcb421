#include "cks/kernels/common/launch.cuh"

namespace cks::kernels::cuda {
namespace {
thread_local void* stream_of_thread = nullptr;
}

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess) {
    cudaGetLastError();  // forgets the error, unless it is one that the device cannot forget
    throw CudaError(std::string(call) + ": " + cudaGetErrorName(status) + ", " +
                    cudaGetErrorString(status) + " (" + file + ":" + std::to_string(line) + ")");
  }
}

void* current_stream() { return stream_of_thread; }
StreamScope::StreamScope(void* stream) : before_(stream_of_thread) { stream_of_thread = stream; }
StreamScope::~StreamScope() { stream_of_thread = before_; }

void finish_launch(const char* operation) {
  cudaError_t status = cudaGetLastError();
#ifndef NDEBUG
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(static_cast<cudaStream_t>(current_stream()), &capturing);
  if (status == cudaSuccess && capturing == cudaStreamCaptureStatusNone) {
    status = cudaStreamSynchronize(static_cast<cudaStream_t>(current_stream()));
  }
#endif
  if (status != cudaSuccess) {
    throw CudaError(std::string(operation) + ": " + cudaGetErrorName(status) + ", " +
                    cudaGetErrorString(status));
  }
}

}  // namespace cks::kernels::cuda
