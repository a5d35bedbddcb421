#include "cks/core/distributed/communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "cks/core/device/capture_rules.h"
#include "cks/core/device/cuda.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/distributed/host_group_impl.h"
#include "cks/core/tensor/check.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

struct Communicator::Parts {
  std::unique_ptr<HostGroup> host;    // null: a single rank
  std::unique_ptr<DeviceGroup> nccl;  // null: tensors of the host alone
  Device device{};

  /// Until the current stream is done, or a rank is given up.
  void wait() {
    Watch& watch = host->watch();
    const WaitingScope waiting(watch, host->rank());
    while (!nccl->is_done()) {
      if (watch.failed()) {
        nccl->abort();
        watch.check();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    watch.check();
  }
};

namespace {

constexpr const char* kAllReduce = "all_reduce";
constexpr const char* kAllGather = "all_gather";
constexpr const char* kBroadcast = "broadcast";

void require_summable(DType dtype, bool is_mean) {
  const bool is_whole = dtype == DType::int64 || dtype == DType::int32;
  if (dtype != DType::float32 && dtype != DType::float64 && (is_mean || !is_whole)) {
    throw DtypeError(formatted(
        "{}: dtype {}, expected float32, float64 or, for sums, int64 or int32", kAllReduce, dtype));
  }
}

/// Element i of all chunks in the order of ranks, for each i of a chunk.
template <class T>
void add_chunks(const std::byte* chunks, std::size_t elements, int ranks, bool is_mean,
                std::byte* sums) {
  using Sum = std::conditional_t<std::is_floating_point_v<T>, double, T>;
  const auto* terms = reinterpret_cast<const T*>(chunks);
  auto* results = reinterpret_cast<T*>(sums);
  const auto divisor = static_cast<Sum>(is_mean ? ranks : 1);
  for (std::size_t i = 0; i < elements; ++i) {
    Sum sum = static_cast<Sum>(terms[i]);
    for (std::size_t r = 1; r < static_cast<std::size_t>(ranks); ++r) {
      sum += static_cast<Sum>(terms[r * elements + i]);
    }
    results[i] = static_cast<T>(sum / divisor);
  }
}

/// Reduces the tensors of one dtype, as one row of numbers of which each rank adds up a chunk.
template <class T>
void reduce_on_host(HostGroup& host, std::span<Tensor> tensors, bool is_mean) {
  std::vector<Tensor*> alike;
  std::size_t total = 0;
  for (Tensor& tensor : tensors) {
    if (tensor.dtype() == dtype_of<T>()) {
      alike.push_back(&tensor);
      total += static_cast<std::size_t>(tensor.numel());
    }
  }
  if (total == 0) {
    return;
  }
  const auto ranks = static_cast<std::size_t>(host.size());
  const std::size_t chunk = (total + ranks - 1) / ranks;
  host.outgoing().assign(ranks * chunk * sizeof(T), std::byte{});
  std::byte* to = host.outgoing().data();
  for (const Tensor* tensor : alike) {
    std::copy_n(static_cast<const std::byte*>(tensor->data()), tensor->nbytes(), to);
    to += tensor->nbytes();
  }
  host.all_to_all(chunk * sizeof(T));
  add_chunks<T>(host.incoming().data(), chunk, host.size(), is_mean, host.outgoing().data());
  host.all_gather(chunk * sizeof(T));
  const std::byte* from = host.incoming().data();
  for (Tensor* tensor : alike) {
    std::copy_n(from, tensor->nbytes(), static_cast<std::byte*>(tensor->data()));
    from += tensor->nbytes();
  }
}

void reduce_all_on_host(HostGroup& host, std::span<Tensor> tensors, bool is_mean) {
  reduce_on_host<float>(host, tensors, is_mean);
  reduce_on_host<double>(host, tensors, is_mean);
  reduce_on_host<std::int64_t>(host, tensors, is_mean);
  reduce_on_host<std::int32_t>(host, tensors, is_mean);
}

/// What keeps two ranks of a machine from sharing a GPU: a number for this host and GPU.
[[maybe_unused]] std::int64_t gpu_identity(Device device) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const std::string text = std::string(host.data()) + cuda_device_info(device).bus_id;
  return static_cast<std::int64_t>(std::hash<std::string>{}(text));
}

}  // namespace

Communicator::Communicator() : Communicator(nullptr) {}
Communicator::Communicator(std::unique_ptr<HostGroup> host) : parts_(std::make_unique<Parts>()) {
  parts_->host = std::move(host);
}
Communicator::Communicator(Communicator&&) noexcept = default;
Communicator::~Communicator() {
  if (parts_ && parts_->nccl && parts_->host->watch().failed()) {
    parts_->nccl->abort();  // a group that is whole is left by all
  }
}

int Communicator::rank() const { return parts_->host ? parts_->host->rank() : 0; }
int Communicator::size() const { return parts_->host ? parts_->host->size() : 1; }
int Communicator::local_rank() const { return parts_->host ? parts_->host->local_rank() : 0; }
int Communicator::local_size() const { return parts_->host ? parts_->host->local_size() : 1; }
Device Communicator::device() const { return parts_->device; }

std::string Communicator::backend() const {
  const std::string host = parts_->host ? parts_->host->name() : "single";
  return parts_->nccl ? host + " + " + parts_->nccl->name() : host;
}

void Communicator::use_device(Device device) {
  ops::select_cuda(device);
  if (device.is_cuda() && size() > 1) {
#if CKS_HAS_NCCL
    const std::vector<std::int64_t> gpus = all_gather(gpu_identity(device));
    for (int other = 0; other < size(); ++other) {
      if (other != rank() &&
          gpus[static_cast<std::size_t>(other)] == gpus[static_cast<std::size_t>(rank())]) {
        throw DeviceError(formatted(
            "rank {} and rank {} would share {}: there are more ranks on this machine than GPUs",
            std::min(rank(), other), std::max(rank(), other), device));
      }
    }
    const std::string id = broadcast(rank() == 0 ? make_nccl_id() : "");
    parts_->nccl = make_nccl_group(*parts_->host, id, device);
#else
    throw DeviceError(formatted(
        "{}: several GPUs need NCCL, which this build has not (configure with -DCKS_WITH_NCCL=ON)",
        device));
#endif
  }
  parts_->device = device;
}

/// Calls the operation on this rank's GPU.
template <class Operation>
void Communicator::on(const char* operation, const Tensor& tensor, Operation&& device_operation) {
  if (!parts_->nccl || !(tensor.device() == device())) {
    throw DeviceError(formatted("{}: a tensor on {}, but this rank's group ({}) is on {}",
                                operation, tensor.device(), backend(), device()));
  }
  parts_->host->watch().check();
  device_operation(*parts_->nccl);
  // Where ranks are threads, an allocation behind it may wait for this device with a lock that
  // another rank needs to come here. A recorded step allocates nothing.
  if (!parts_->nccl->is_recording()) {
    parts_->wait();
  }
}

void Communicator::all_reduce(std::span<Tensor> sums, std::span<Tensor> means) {
  const auto check = [&](std::span<Tensor> tensors, bool is_mean) {
    for (const Tensor& tensor : tensors) {
      ops::require_defined(kAllReduce, {{"tensor", tensor}});
      require_summable(tensor.dtype(), is_mean);
      ops::require_same_device(kAllReduce, {"tensor", tensor},
                               {"the first", sums.empty() ? means.front() : sums.front()});
    }
  };
  check(sums, false);
  check(means, true);
  if (size() == 1 || (sums.empty() && means.empty())) {
    return;
  }
  if (const Tensor& first = sums.empty() ? means.front() : sums.front(); first.device().is_cuda()) {
    on(kAllReduce, first, [&](DeviceGroup& group) { group.all_reduce(sums, means); });
  } else {
    reduce_all_on_host(*parts_->host, sums, false);
    reduce_all_on_host(*parts_->host, means, true);
  }
  for (const std::span<Tensor> tensors : {sums, means}) {
    for (Tensor& tensor : tensors) {
      tensor.bump_version();
    }
  }
}

void Communicator::all_reduce(Tensor& sum) { all_reduce({&sum, 1}); }

Tensor Communicator::all_gather(const Tensor& tensor) {
  ops::require_defined(kAllGather, {{"tensor", tensor}});
  std::vector<std::int64_t> extents = tensor.shape().to_vector();
  extents.insert(extents.begin(), size());
  Tensor all = Tensor::empty(Shape(extents), tensor.dtype(), tensor.device());
  if (size() == 1 || tensor.numel() == 0) {
    all.reshape(tensor.shape()).copy_(tensor.detach());
  } else if (tensor.device().is_cuda()) {
    on(kAllGather, tensor, [&](DeviceGroup& group) { group.all_gather(tensor, all); });
  } else {
    HostGroup& host = *parts_->host;
    const auto* from = static_cast<const std::byte*>(tensor.data());
    host.outgoing().assign(from, from + tensor.nbytes());
    host.all_gather(tensor.nbytes());
    std::copy(host.incoming().begin(), host.incoming().end(), static_cast<std::byte*>(all.data()));
  }
  return all;
}

Tensor Communicator::registered(std::int64_t count) {
  return parts_->nccl ? parts_->nccl->registered(count)
                      : Tensor::empty({count}, DType::float32, device());
}

std::vector<std::int64_t> Communicator::all_gather(std::int64_t number) {
  return all_gather(Tensor::from_vector(std::vector{number}, {})).to_vector<std::int64_t>();
}

void Communicator::broadcast(Tensor& tensor, int from) {
  ops::require_defined(kBroadcast, {{"tensor", tensor}});
  if (from < 0 || from >= size()) {
    throw Error(formatted("{}: there is no rank {} of {}", kBroadcast, from, size()));
  }
  if (size() == 1 || tensor.numel() == 0) {
    return;
  }
  if (tensor.device().is_cuda()) {
    on(kBroadcast, tensor, [&](DeviceGroup& group) { group.broadcast(tensor, from); });
  } else {
    HostGroup& host = *parts_->host;
    auto* data = static_cast<std::byte*>(tensor.data());
    host.outgoing().assign(data, data + tensor.nbytes());
    host.broadcast(tensor.nbytes(), from);
    std::copy(host.incoming().begin(), host.incoming().end(), data);
  }
  tensor.bump_version();
}

std::string Communicator::broadcast(const std::string& text, int from) {
  Tensor length = Tensor::from_vector(std::vector{static_cast<std::int64_t>(text.size())}, {});
  broadcast(length, from);
  const std::int64_t count = length.to_vector<std::int64_t>().front();
  Tensor bytes = Tensor::zeros({count}, DType::uint8);
  std::memcpy(bytes.data(), text.data(), std::min(text.size(), static_cast<std::size_t>(count)));
  broadcast(bytes, from);
  return {static_cast<const char*>(bytes.data()), static_cast<std::size_t>(count)};
}

void Communicator::barrier() {
  if (parts_->host) {
    parts_->host->outgoing().assign(1, std::byte{});
    parts_->host->all_gather(1);
  }
}

void Communicator::synchronize() {
  capture::forbid("Communicator::synchronize");
  parts_->nccl ? parts_->wait() : cks::synchronize(device());
}

void Communicator::get_on() {
  if (parts_->host) {
    parts_->host->watch().set(rank(), RankState::working);
  }
}

void Communicator::fail(const std::string& why) {
  if (parts_->host) {
    parts_->host->watch().fail(formatted("rank {} failed: {}", rank(), why));
    if (parts_->nccl) {
      parts_->nccl->abort();
    }
  }
}

Communicator::Excuse::Excuse(Communicator& ranks) : ranks_(ranks) {
  if (ranks_.parts_->host) {
    ranks_.parts_->host->watch().set(ranks_.rank(), RankState::excused);
  }
}

Communicator::Excuse::~Excuse() { ranks_.get_on(); }

void run_ranks(const std::vector<Device>& devices, const std::function<void(Communicator&)>& body,
               const RankOptions& options) {
  if (devices.empty()) {
    throw Error("run_ranks: there are no devices, expected at least one");
  }
  std::mutex mutex;
  std::exception_ptr first;
  const auto run = [&](std::unique_ptr<HostGroup> host, Device device) {
    Communicator ranks(std::move(host));
    try {
      ranks.use_device(device);
      body(ranks);
    } catch (...) {
      const std::lock_guard lock(mutex);
      first = first ? first : std::current_exception();
      try {
        throw;
      } catch (const std::exception& error) {
        ranks.fail(error.what());
      } catch (...) {
        ranks.fail("an exception of an unknown type");
      }
    }
  };
  if (devices.size() == 1) {
    Communicator alone;
    alone.use_device(devices.front());
    body(alone);
    return;
  }
  std::vector<std::thread> threads;
  auto groups = make_thread_groups(static_cast<int>(devices.size()), options);
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    threads.emplace_back(run, std::move(groups[rank]), devices[rank]);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (first) {
    std::rethrow_exception(first);
  }
}

bool has_nccl() { return CKS_HAS_NCCL != 0; }
bool has_mpi() { return CKS_HAS_MPI != 0; }

int launched_processes() {
  for (const char* name :
       {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const char* value = std::getenv(name); value != nullptr && std::atoi(value) > 0) {
      return std::atoi(value);
    }
  }
  return 1;
}

Communicator join_processes([[maybe_unused]] const RankOptions& options) {
#if CKS_HAS_MPI
  return Communicator(make_mpi_group(launched_processes(), options));
#else
  throw Error(
      formatted("{} processes were started together, but this build has no MPI (configure "
                "with -DCKS_WITH_MPI=ON)",
                launched_processes()));
#endif
}

}  // namespace cks
