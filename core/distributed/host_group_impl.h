#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/distributed/communicator.h"
#include "cks/core/distributed/watch_impl.h"

namespace cks {

/// Exchange of bytes between the memories of ranks, from outgoing() to incoming(): the group's own
/// buffers, since a call that ends with RankError may leave others reading them.
class HostGroup {
 public:
  using Bytes = std::vector<std::byte>;
  virtual ~HostGroup() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  virtual const char* name() const = 0;
  virtual Watch& watch() = 0;

  virtual Bytes& outgoing() = 0;
  Bytes& incoming() { return incoming_; }
  /// Chunk r of outgoing, of `chunk` bytes, goes to rank r; chunk r of incoming comes from it.
  virtual void all_to_all(std::size_t chunk) = 0;
  /// The `bytes` of outgoing go to all; chunk r of incoming comes from rank r.
  virtual void all_gather(std::size_t bytes) = 0;
  /// The `bytes` of rank `from`'s outgoing come to the incoming of all.
  virtual void broadcast(std::size_t bytes, int from) = 0;

 protected:
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;  // among those on this machine
  int local_size_ = 1;
  Bytes incoming_;
};

/// A group of threads, for each of them.
std::vector<std::unique_ptr<HostGroup>> make_thread_groups(int ranks, const RankOptions& options);
/// Only in builds with MPI.
std::unique_ptr<HostGroup> make_mpi_group(int expected_ranks, const RankOptions& options);

/// Exchange between GPUs, on the current stream.
class DeviceGroup {
 public:
  virtual ~DeviceGroup() = default;
  virtual std::string name() const = 0;
  virtual void all_reduce(std::span<Tensor> sums, std::span<Tensor> means) = 0;
  virtual void all_gather(const Tensor& tensor, Tensor& all) = 0;
  virtual void broadcast(Tensor& tensor, int from) = 0;
  virtual Tensor registered(std::int64_t count) = 0;
  /// Whether the current stream records a captured step.
  virtual bool is_recording() = 0;
  /// False if the current stream has work left. Throws what went wrong on the device.
  virtual bool is_done() = 0;
  /// Makes operations that wait for a rank end; nothing can follow. Does not wait for that.
  virtual void abort() = 0;
};

/// Only in builds with NCCL. All ranks of the host group make theirs together.
std::unique_ptr<DeviceGroup> make_nccl_group(HostGroup& host, const std::string& id, Device device);
/// A new id, for rank 0 to give to all.
std::string make_nccl_id();

}  // namespace cks
