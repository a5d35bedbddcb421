#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "cks/kernels/common/launch.cuh"

namespace cks::kernels::cuda {
namespace {

constexpr int kMaxDevices = 64;

struct ThreadState {
  int device = -1;  // as last set; -1: not asked yet
  void* streams[kMaxDevices] = {};
};

ThreadState& this_thread() {
  thread_local ThreadState state;
  return state;
}

__global__ void empty_kernel() {}

void require_index(int device) {
  if (device < 0 || device >= kMaxDevices) {
    throw DeviceError("cuda:" + std::to_string(device) + ": device numbers go from 0 to " +
                      std::to_string(kMaxDevices - 1));
  }
}

std::string describe(cudaError_t status) {
  return std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status);
}

/// Whether each launch waits for its end.
bool checks_synchronously() {
#ifdef NDEBUG
  constexpr bool kByDefault = false;
#else
  constexpr bool kByDefault = true;
#endif
  static const bool answer = [] {
    const char* variable = std::getenv("CKS_SYNC_CHECK");
    const std::string_view value = variable == nullptr ? "" : variable;
    if (value.empty()) {
      return kByDefault;
    }
    if (value != "0" && value != "1") {
      throw Error("CKS_SYNC_CHECK: expected 0 or 1, got \"" + std::string(value) + "\"");
    }
    return value == "1";
  }();
  return answer;
}

}  // namespace

bool is_being_recorded(void* stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CKS_CUDA_CHECK(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &status));
  return status != cudaStreamCaptureStatusNone;
}

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess) {
    cudaGetLastError();  // forgets the error, unless it is one that the device cannot forget
    throw CudaError(std::string(call) + ": " + describe(status) + " (" + file + ":" +
                    std::to_string(line) + ")");
  }
}

void set_current_device(int index) {
  ThreadState& state = this_thread();
  if (state.device != index) {
    require_index(index);
    CKS_CUDA_CHECK(cudaSetDevice(index));
    state.device = index;
  }
}

int current_device() {
  ThreadState& state = this_thread();
  if (state.device < 0) {
    CKS_CUDA_CHECK(cudaGetDevice(&state.device));
    require_index(state.device);
  }
  return state.device;
}

void* default_stream(int device) {
  require_index(device);
  // Never destroyed: tensors of static storage duration may outlive any object.
  static cudaStream_t streams[kMaxDevices];
  static std::once_flag made[kMaxDevices];
  std::call_once(made[device], [&] {
    const int before = current_device();
    set_current_device(device);
    const cudaError_t status = cudaStreamCreateWithFlags(&streams[device], cudaStreamNonBlocking);
    set_current_device(before);
    CKS_CUDA_CHECK(status);
  });
  return streams[device];
}

void* current_stream(int device) {
  require_index(device);
  void* stream = this_thread().streams[device];
  return stream != nullptr ? stream : default_stream(device);
}

void* current_stream() { return current_stream(current_device()); }

void* exchange_stream(int device, void* stream) {
  require_index(device);
  return std::exchange(this_thread().streams[device], stream);
}

StreamScope::StreamScope(void* stream)
    : device_(current_device()), before_(exchange_stream(device_, stream)) {}

StreamScope::~StreamScope() { this_thread().streams[device_] = before_; }

bool has_code_for(int device) {
  const int before = current_device();
  set_current_device(device);
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, empty_kernel);
  set_current_device(before);
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
      status == cudaErrorInvalidKernelImage || status == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    return false;
  }
  CKS_CUDA_CHECK(status);
  return true;
}

bool kernels_overlap() {
  // 0: not asked yet, 1: no, 2: yes
  static std::atomic<int> answers[kMaxDevices];
  std::atomic<int>& answer = answers[current_device()];
  if (answer.load(std::memory_order_relaxed) == 0) {
    // Code translated from older PTX lacks the wait.
    cudaFuncAttributes attributes{};
    CKS_CUDA_CHECK(cudaFuncGetAttributes(&attributes, empty_kernel));
    answer.store(attributes.ptxVersion >= 90 ? 2 : 1, std::memory_order_relaxed);
  }
  return answer.load(std::memory_order_relaxed) == 2;
}

void allow_shared_memory(const char* operation, const void* kernel, std::size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, std::size_t> allowed;  // by kernel and device
  const std::lock_guard lock(mutex);
  std::size_t& most = allowed[{kernel, current_device()}];
  if (bytes <= most) {
    return;
  }
  const cudaError_t status = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status != cudaSuccess) {
    cudaGetLastError();
    throw CudaError(std::string(operation) + ": " + std::to_string(bytes) +
                    " bytes of shared memory: " + describe(status));
  }
  most = bytes;
}

void require_clusters(const char* operation, dim3 grid, dim3 cluster) {
  const auto text = [](dim3 d) {
    return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
  };
  const std::uint64_t blocks = std::uint64_t{cluster.x} * cluster.y * cluster.z;
  if (blocks == 0 || blocks > 8 || grid.x % cluster.x != 0 || grid.y % cluster.y != 0 ||
      grid.z % cluster.z != 0) {
    throw CudaError(std::string(operation) + ": grid " + text(grid) +
                    " cannot be cut into clusters of " + text(cluster) +
                    " (at most 8 blocks, a divisor of the grid)");
  }
  int major = 0;
  CKS_CUDA_CHECK(
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, current_device()));
  if (major < 9) {
    throw CudaError(std::string(operation) +
                    ": clusters need compute capability 9.0, the device has " +
                    std::to_string(major) + ".x");
  }
}

void finish_launch(const char* operation) {
  cudaError_t status = cudaGetLastError();
  const bool waits = checks_synchronously();
  if (status == cudaSuccess && waits) {
    const auto stream = static_cast<cudaStream_t>(current_stream());
    if (!is_being_recorded(stream)) {
      status = cudaStreamSynchronize(stream);
    }
  }
  if (status != cudaSuccess) {
    // An error of an earlier operation may come up here as well, unless each was waited for.
    throw CudaError(
        std::string(operation) + ": " + describe(status) +
        (waits ? "" : "; CKS_SYNC_CHECK=1 in the environment finds the operation at fault"));
  }
}

}  // namespace cks::kernels::cuda
