#include "cks/core/memory/storage.h"

#include <atomic>
#include <string>
#include <utility>

#include "cks/core/error.h"
#include "cks/core/memory/allocator_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

/// Versions of different storages never meet, so that a cache may be keyed by the version alone.
std::uint64_t first_version() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed) << 32;
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(std::size_t bytes, Device device) {
  std::shared_ptr<Storage> storage(new Storage());
  const MemoryBlock block = allocator_of(device).allocate(bytes);
  storage->data_ = block.data;
  storage->bytes_ = bytes;
  storage->device_ = device;
  storage->version_ = first_version();
  storage->pool_ = block.pool;
  storage->branch_ = block.branch;
  storage->stream_ = block.stream;
  return storage;
}

std::shared_ptr<Storage> Storage::adopt(void* data, std::size_t bytes, Device device,
                                        std::function<void(void*)> deleter) {
  std::shared_ptr<Storage> storage(new Storage());
  storage->data_ = static_cast<std::byte*>(data);
  storage->bytes_ = bytes;
  storage->device_ = device;
  storage->version_ = first_version();
  storage->adopted_ = true;
  storage->deleter_ = std::move(deleter);
  return storage;
}

Storage::~Storage() {
  if (!adopted_) {
    if (data_ != nullptr) {  // null if its allocation threw
      allocator_of(device_).release({data_, bytes_, pool_, branch_, stream_});
    }
  } else if (deleter_) {
    deleter_(data_);
  }
}

MemoryStats memory_stats(Device device) { return allocator_of(device).stats(); }

void reset_peak_memory(Device device) { allocator_of(device).reset_peak(); }

void trim_memory(Device device) { allocator_of(device).trim(); }

void set_memory_limit(std::int64_t bytes, Device device) {
  if (bytes < 0) {
    throw Error(formatted("set_memory_limit: bytes must not be negative, got {}", bytes));
  }
  allocator_of(device).set_limit(static_cast<std::size_t>(bytes));
}

}  // namespace cks
