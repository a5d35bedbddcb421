#include "cks/core/storage.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cks/core/error.h"
#include "cks/core/module_path.h"

#if defined(__SANITIZE_ADDRESS__)
#  define CKS_ADDRESS_SANITIZER 1
#else
#  define CKS_ADDRESS_SANITIZER 0
#endif

namespace cks {
namespace {

constexpr std::size_t kAlignment = 256;

/// True if each request goes to the system as it is, so that tools see every block's bounds.
bool plain_allocator() {
  const char* choice = std::getenv("CKS_ALLOCATOR");
  if (choice == nullptr || std::string_view(choice).empty()) {
    return CKS_ADDRESS_SANITIZER != 0;
  }
  if (std::string_view(choice) == "plain") {
    return true;
  }
  if (std::string_view(choice) == "caching") {
    return false;
  }
  throw Error("CKS_ALLOCATOR: expected plain or caching, got \"" + std::string(choice) + "\"");
}

std::size_t physical_memory() {
  const std::int64_t pages = sysconf(_SC_PHYS_PAGES);
  const std::int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_bytes)
             : std::numeric_limits<std::size_t>::max() / 4;  // rounded up it still fits
}

/// Blocks of the CPU. Freed blocks wait in a list of their size: a training step asks for the same
/// sizes again and again.
class CpuAllocator {
 public:
  // Never destroyed: tensors of static storage duration may outlive any static object.
  static CpuAllocator& instance() {
    static auto& allocator = *new CpuAllocator();
    return allocator;
  }

  std::byte* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > limit_ || in_use_ > limit_ - bytes) {
      throw out_of_memory(bytes);
    }
    const std::size_t size = block_size(bytes);
    std::byte* block = take_free(size);
    if (block == nullptr) {
      if (reserved_ > limit_ - bytes) {
        trim_locked();
      }
      block = from_system(size);
      if (block == nullptr) {
        trim_locked();
        block = from_system(size);
      }
      if (block == nullptr) {
        throw out_of_memory(bytes);
      }
      reserved_ += size;
    }
    in_use_ += size;
    peak_ = std::max(peak_, in_use_);
    ++allocations_;
    return block;
  }

  void release(std::byte* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t size = block_size(bytes);
    in_use_ -= size;
    if (plain_) {
      to_system(block);
      reserved_ -= size;
    } else {
      free_[size].push_back(block);
    }
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return {static_cast<std::int64_t>(in_use_), static_cast<std::int64_t>(peak_),
            static_cast<std::int64_t>(reserved_), allocations_};
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    peak_ = in_use_;
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    trim_locked();
  }

  void set_limit(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }

 private:
  CpuAllocator() : plain_(plain_allocator()), limit_(physical_memory()) {}

  /// The smallest size of a list that holds `bytes`: at most an eighth is wasted on large blocks.
  std::size_t block_size(std::size_t bytes) const {
    const std::size_t at_least = bytes == 0 ? 1 : bytes;  // an empty tensor has an address, too
    if (plain_) {
      return at_least;
    }
    std::size_t step = kAlignment;
    while (step * 16 < at_least) {
      step *= 2;
    }
    return (at_least + step - 1) / step * step;
  }

  std::byte* take_free(std::size_t size) {
    const auto list = free_.find(size);
    if (list == free_.end() || list->second.empty()) {
      return nullptr;
    }
    std::byte* block = list->second.back();
    list->second.pop_back();
    return block;
  }

  static std::byte* from_system(std::size_t size) {
    return static_cast<std::byte*>(
        ::operator new (size, std::align_val_t{kAlignment}, std::nothrow));
  }

  static void to_system(std::byte* block) {
    ::operator delete (block, std::align_val_t{kAlignment});
  }

  void trim_locked() {
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) {
        to_system(block);
        reserved_ -= size;
      }
      blocks.clear();
    }
  }

  OutOfMemoryError out_of_memory(std::size_t bytes) const {
    const std::string& path = current_module_path();
    return OutOfMemoryError("out of memory on cpu: " + std::to_string(bytes) +
                            " bytes asked for, " + std::to_string(in_use_) + " in use, limit " +
                            std::to_string(limit_) +
                            (path.empty() ? ", outside of modules" : ", in module " + path));
  }

  std::mutex mutex_;
  const bool plain_;
  std::unordered_map<std::size_t, std::vector<std::byte*>> free_;
  std::size_t limit_;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  std::size_t reserved_ = 0;
  std::int64_t allocations_ = 0;
};

CpuAllocator& allocator_of(Device device) {
  if (!device.is_cpu()) {
    throw DeviceError(device.to_string() + ": this build has no CUDA");
  }
  return CpuAllocator::instance();
}

/// Versions of different storages never meet, so that a cache may be keyed by the version alone.
std::uint64_t first_version() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed) << 32;
}

}  // namespace

std::shared_ptr<Storage> Storage::allocate(std::size_t bytes, Device device) {
  std::shared_ptr<Storage> storage(new Storage());
  storage->data_ = allocator_of(device).allocate(bytes);
  storage->bytes_ = bytes;
  storage->device_ = device;
  storage->version_ = first_version();
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
      allocator_of(device_).release(data_, bytes_);
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
    throw Error("set_memory_limit: bytes must not be negative, got " + std::to_string(bytes));
  }
  allocator_of(device).set_limit(bytes == 0 ? physical_memory() : static_cast<std::size_t>(bytes));
}

}  // namespace cks
