#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cks/core/device/device.h"
#include "cks/core/error.h"
#include "cks/core/memory/storage.h"
#include "cks/core/scoped_value.h"

namespace cks {

/// The blocks of one device. Freed blocks wait in a list of their size: a training step asks for
/// the same sizes again and again.
///
/// On a GPU, work that is still queued may use a block that has been freed. So a block is reused on
/// the stream it was allocated on, where whoever gets it queues behind that work; for other streams
/// it is lost until trim().
///
/// Blocks of a pool stay in it until it is closed, even those that are free: the graph of a
/// captured step goes on using their addresses. Private to core.
class Allocator {
 public:
  virtual ~Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  /// From the pool of this thread's PoolScope, if there is one. Throws OutOfMemoryError.
  MemoryBlock allocate(std::size_t bytes);
  void release(const MemoryBlock& block);

  MemoryStats stats() const;
  void reset_peak();
  void trim();
  /// 0: the device's whole memory.
  void set_limit(std::size_t bytes);

  /// A new pool, whose blocks go to `stream` when it is closed.
  std::uint64_t open_pool(void* stream);
  /// Nothing that is queued may use the pool's blocks any more.
  void close_pool(std::uint64_t pool);
  /// Hands the free blocks of a stream, on which nothing is queued any more, to another.
  void retire_stream(void* stream, void* heir);

 protected:
  Allocator(Device device, std::size_t device_bytes);

  const Device device_;

 private:
  struct Key {
    std::uint64_t pool = 0;
    void* stream = nullptr;  // null in a pool
    std::size_t size = 0;
    int branch = 0;  // 0 outside of pools
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  using FreeLists = std::unordered_map<Key, std::vector<std::byte*>, KeyHash>;

  virtual std::byte* from_system(std::size_t size) = 0;  // null if there is not enough
  virtual void to_system(std::byte* block) = 0;
  virtual void* current_stream() const = 0;
  /// For messages: what else is known of the device's memory.
  virtual std::string describe_device() const = 0;

  std::size_t block_size(std::size_t bytes) const;
  std::byte* take_free(const Key& key);
  std::byte* take(std::size_t bytes, const Key& key, void* stream);
  void keep_or_free(std::byte* block, const Key& key);
  void trim_locked();
  template <class KeyOf>
  void move_lists(const KeyOf& new_key_of);
  OutOfMemoryError out_of_memory(std::size_t bytes) const;

  const bool plain_;
  const std::size_t device_bytes_;
  mutable std::mutex mutex_;
  FreeLists free_;
  std::map<std::uint64_t, void*> pools_;  // open ones, with the stream of each
  std::uint64_t last_pool_ = 0;
  std::size_t limit_;
  std::size_t requested_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  std::size_t reserved_ = 0;
  std::int64_t allocations_ = 0;
};

/// The allocator of a device, made at the first use and never destroyed. Throws DeviceError.
Allocator& allocator_of(Device device);
/// That of a CUDA device; only in builds with CUDA.
Allocator* make_cuda_allocator(Device device);

/// Where a thread allocates; without an allocator in no pool.
struct CurrentPool {
  Allocator* allocator = nullptr;
  std::uint64_t pool = 0;
  int branch = 0;
};

/// Lets this thread allocate from a pool until the end of the scope. What a captured step queues on
/// branches of its own, side by side with its main line (branch 0), must not share freed blocks.
class PoolScope : ScopedValue<CurrentPool> {
 public:
  PoolScope(Allocator& allocator, std::uint64_t pool, int branch = 0);
};

}  // namespace cks
