#include <nccl.h>

#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "cks/core/device/dispatch.h"
#include "cks/core/distributed/host_group_impl.h"
#include "cks/kernels/common/cuda_check.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/stream.h"

// What GPUs exchange, through NCCL. A call is queued on this thread's current stream and returns;
// a captured step records it like a kernel.

namespace cks {
namespace {

void require(ncclResult_t status, const char* call) {
  if (status != ncclSuccess) {
    throw Error(
        formatted("{}: {} ({})", call, ncclGetErrorString(status), ncclGetLastError(nullptr)));
  }
}

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return ncclFloat32;
    case DType::float64:
      return ncclFloat64;
    case DType::int64:
      return ncclInt64;
    case DType::int32:
      return ncclInt32;
    default:
      throw DtypeError(formatted("all_reduce: dtype {}", dtype));
  }
}

class NcclGroup : public DeviceGroup {
 public:
  NcclGroup(const HostGroup& host, const std::string& id, Device device) : device_(device) {
    ncclUniqueId unique{};
    std::memcpy(unique.internal, id.data(), sizeof(unique.internal));
    ops::select_cuda(device_);
    require(ncclCommInitRank(&comm_, host.size(), unique, host.rank()), "ncclCommInitRank");
  }
  /// Work that is queued is done, as each rank has waited for its own.
  ~NcclGroup() override {
    if (aborting_.joinable()) {
      aborting_.join();
    } else if (comm_ != nullptr) {
      kernels::cuda::set_current_device(device_.index);
      ncclCommDestroy(comm_);
    }
  }

  std::string name() const override {
    int version = 0;
    require(ncclGetVersion(&version), "ncclGetVersion");
    return formatted("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  void all_reduce(std::span<Tensor> sums, std::span<Tensor> means) override {
    const cudaStream_t stream = begin();
    // As a group they are one kernel; an error in between is returned by the end, too.
    require(ncclGroupStart(), "ncclGroupStart");
    ncclResult_t status = ncclSuccess;
    const auto add = [&](std::span<Tensor> tensors, ncclRedOp_t operation) {
      for (Tensor& tensor : tensors) {
        if (status == ncclSuccess && tensor.numel() > 0) {
          status =
              ncclAllReduce(tensor.data(), tensor.data(), static_cast<std::size_t>(tensor.numel()),
                            nccl_type(tensor.dtype()), operation, comm_, stream);
        }
      }
    };
    add(sums, ncclSum);
    add(means, ncclAvg);
    const ncclResult_t end = ncclGroupEnd();
    require(status, "ncclAllReduce");
    require(end, "ncclGroupEnd");
  }
  void all_gather(const Tensor& tensor, Tensor& all) override {
    const cudaStream_t stream = begin();
    require(ncclAllGather(tensor.data(), all.data(), tensor.nbytes(), ncclUint8, comm_, stream),
            "ncclAllGather");
  }
  void broadcast(Tensor& tensor, int from) override {
    const cudaStream_t stream = begin();
    require(ncclBroadcast(tensor.data(), tensor.data(), tensor.nbytes(), ncclUint8, from, comm_,
                          stream),
            "ncclBroadcast");
  }

  Tensor registered(std::int64_t count) override {
    begin();
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
    void* data = nullptr;
    require(ncclMemAlloc(&data, bytes), "ncclMemAlloc");
    const std::shared_ptr<void> owner(data, [](void* memory) { ncclMemFree(memory); });
    ncclWindow_t window = nullptr;
    require(ncclCommWindowRegister(comm_, data, bytes, &window, NCCL_WIN_COLL_SYMMETRIC),
            "ncclCommWindowRegister");
    return Tensor::from_blob(data, {count}, DType::float32, device_, [this, owner, window](void*) {
      if (comm_ != nullptr) {  // an aborted one has forgotten it
        kernels::cuda::set_current_device(device_.index);
        ncclCommWindowDeregister(comm_, window);
      }
    });
  }

  bool is_recording() override { return kernels::cuda::is_being_recorded(begin()); }
  bool is_done() override {
    const cudaStream_t stream = begin();
    ncclResult_t state = ncclSuccess;
    require(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    require(state, "NCCL");
    const cudaError_t status = cudaStreamQuery(stream);
    if (status == cudaErrorNotReady) {
      return false;
    }
    CKS_CUDA_CHECK(status);
    return true;
  }

  /// NCCL tells its kernels at once, but returns when all graphs that hold them are gone, which may
  /// be for whoever waits here to bring about.
  void abort() override {
    if (comm_ != nullptr) {
      aborting_ = std::thread([comm = std::exchange(comm_, nullptr), index = device_.index] {
        cudaSetDevice(index);
        ncclCommAbort(comm);
      });
    }
  }

 private:
  /// The device made current; its current stream.
  cudaStream_t begin() const {
    if (comm_ == nullptr) {
      throw RankError("NCCL: this group was given up");
    }
    ops::select_cuda(device_);
    return static_cast<cudaStream_t>(kernels::cuda::current_stream(device_.index));
  }

  Device device_;
  ncclComm_t comm_ = nullptr;  // null once aborted
  std::thread aborting_;
};

}  // namespace

std::unique_ptr<DeviceGroup> make_nccl_group(HostGroup& host, const std::string& id,
                                             Device device) {
  return std::make_unique<NcclGroup>(host, id, device);
}

std::string make_nccl_id() {
  ncclUniqueId id{};
  require(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return {id.internal, sizeof(id.internal)};
}

}  // namespace cks
