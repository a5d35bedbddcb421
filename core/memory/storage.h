#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "cks/core/device/device.h"

namespace cks {

/// What the allocator hands out and takes back.
struct MemoryBlock {
  std::byte* data = nullptr;
  std::size_t bytes = 0;   // as asked for
  std::uint64_t pool = 0;  // of a captured step; 0: nobody's
  int branch = 0;          // of the captured step, within which it may be reused without waiting
  void* stream = nullptr;  // on which it may be reused without waiting, outside of pools
};

/// A block of bytes on one device, shared by tensors and freed with the last of them.
/// Base addresses are 256-byte aligned, except for memory that a user lent with Tensor::from_blob.
class Storage {
 public:
  /// Uninitialised memory from the project's only allocator, which keeps freed blocks for reuse
  /// (CKS_ALLOCATOR=plain in the environment switches that off). Throws OutOfMemoryError or
  /// DeviceError.
  ///
  /// On a CUDA device a block is reused in the order of the stream that was current when it was
  /// allocated. Who uses a tensor on another stream lets that work end, or orders the streams (see
  /// Stream), before the last handle goes.
  static std::shared_ptr<Storage> allocate(std::size_t bytes, Device device);
  /// Memory of somebody else; `deleter(data)`, unless empty, is called when the last tensor lets go
  /// of it.
  static std::shared_ptr<Storage> adopt(void* data, std::size_t bytes, Device device,
                                        std::function<void(void*)> deleter);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return block_.data; }
  std::size_t bytes() const { return block_.bytes; }
  Device device() const { return device_; }

  /// Raised by every in-place write, so that backward notices when a saved tensor has changed.
  /// No two storages ever have the same version: caches may be keyed by it alone.
  std::uint64_t version() const { return version_; }
  void bump_version() { ++version_; }

 private:
  explicit Storage(Device device);

  MemoryBlock block_;
  Device device_;
  std::uint64_t version_ = 0;
  bool adopted_ = false;  // not the allocator's own block
  std::function<void(void*)> deleter_;
};

/// Counters of the allocator of one device, in bytes of its blocks (requests are rounded up).
struct MemoryStats {
  std::int64_t in_use = 0;        // held by tensors now
  std::int64_t peak = 0;          // greatest in_use since the start or reset_peak_memory
  std::int64_t reserved = 0;      // in_use plus what is kept for reuse
  std::int64_t allocations = 0;   // number of requests so far
  std::int64_t requested = 0;     // what holders of in_use asked for, before rounding up
  std::int64_t largest_free = 0;  // greatest block kept for reuse by anybody

  /// Share of the reserved memory that holds nothing: kept for reuse, or lost to rounding.
  double fragmentation() const {
    return reserved == 0 ? 0.0
                         : 1.0 - static_cast<double>(requested) / static_cast<double>(reserved);
  }
};
MemoryStats memory_stats(Device device = {});  // of this process, now
void reset_peak_memory(Device device = {});    // begins a new peak at what is in use
/// Gives the blocks kept for reuse back to the system; waits for a CUDA device. Those of captured
/// steps stay.
void trim_memory(Device device = {});
/// Requests that would take in_use above it throw OutOfMemoryError; 0 stands for the device's whole
/// memory, as at first.
void set_memory_limit(std::int64_t bytes, Device device = {});

}  // namespace cks
