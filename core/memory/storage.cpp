#include "cks/core/memory/storage.h"

#include <atomic>
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

Storage::Storage(Device device) : device_(device), version_(first_version()) {}

std::shared_ptr<Storage> Storage::allocate(std::size_t bytes, Device device) {
  std::shared_ptr<Storage> storage(new Storage(device));
  storage->block_ = allocator_of(device).allocate(bytes);
  return storage;
}

std::shared_ptr<Storage> Storage::adopt(void* data, std::size_t bytes, Device device,
                                        std::function<void(void*)> deleter) {
  std::shared_ptr<Storage> storage(new Storage(device));
  storage->block_ = {.data = static_cast<std::byte*>(data), .bytes = bytes};
  storage->adopted_ = true;
  storage->deleter_ = std::move(deleter);
  return storage;
}

Storage::~Storage() {
  if (deleter_) {
    deleter_(block_.data);
  } else if (!adopted_ && block_.data != nullptr) {  // null if its allocation threw
    allocator_of(device_).release(block_);
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
