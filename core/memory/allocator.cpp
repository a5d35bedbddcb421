#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <new>
#include <string_view>

#include "cks/config.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/memory/allocator_impl.h"
#include "cks/kernels/common/formatted_impl.h"

#if defined(__SANITIZE_ADDRESS__)
#  define CKS_ADDRESS_SANITIZER 1
#else
#  define CKS_ADDRESS_SANITIZER 0
#endif

// Free lists, counters and pools of every device, and the memory of the CPU. That of CUDA devices
// is in allocator_cuda.cpp.

namespace cks {
namespace {

constexpr std::size_t kAlignment = 256;

thread_local CurrentPool current_pool;

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
  throw Error(formatted("CKS_ALLOCATOR: expected plain or caching, got \"{}\"", choice));
}

std::size_t physical_memory() {
  const std::int64_t pages = sysconf(_SC_PHYS_PAGES);
  const std::int64_t page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_bytes)
             : std::numeric_limits<std::size_t>::max() / 4;  // rounded up it still fits
}

class CpuAllocator : public Allocator {
 public:
  CpuAllocator() : Allocator(Device::cpu(), physical_memory()) {}

 private:
  std::byte* from_system(std::size_t size) override {
    return static_cast<std::byte*>(
        ::operator new (size, std::align_val_t{kAlignment}, std::nothrow));
  }
  void to_system(std::byte* block) override {
    ::operator delete (block, std::align_val_t{kAlignment});
  }
  void* current_stream() const override { return nullptr; }
  std::string describe_device() const override { return {}; }
};

}  // namespace

// --- Pools --------------------------------------------------------------------------------------

PoolScope::PoolScope(Allocator& allocator, std::uint64_t pool, int branch)
    : ScopedValue(current_pool, {&allocator, pool, branch}) {}

std::uint64_t Allocator::open_pool(void* stream) {
  const std::lock_guard lock(mutex_);
  pools_.emplace(++last_pool_, stream);
  return last_pool_;
}

/// Moves each free list to the key that new_key_of gives for its old one; to the system in plain
/// mode.
template <class KeyOf>
void Allocator::move_lists(const KeyOf& new_key_of) {
  FreeLists old;
  old.swap(free_);
  for (auto& [key, blocks] : old) {
    const Key target = new_key_of(key);
    for (std::byte* block : blocks) {
      keep_or_free(block, target);
    }
  }
}

void Allocator::close_pool(std::uint64_t pool) {
  const std::lock_guard lock(mutex_);
  const auto found = pools_.find(pool);
  if (found == pools_.end()) {
    return;
  }
  void* stream = found->second;
  pools_.erase(found);
  move_lists([&](const Key& key) { return key.pool == pool ? Key{0, stream, key.size} : key; });
}

void Allocator::retire_stream(void* stream, void* heir) {
  const std::lock_guard lock(mutex_);
  move_lists([&](const Key& key) {
    return key.pool == 0 && key.stream == stream ? Key{0, heir, key.size} : key;
  });
}

// --- Blocks -------------------------------------------------------------------------------------

std::size_t Allocator::KeyHash::operator()(const Key& key) const {
  const auto stream = reinterpret_cast<std::uintptr_t>(key.stream);
  const std::size_t owner = key.pool * 4 + static_cast<std::size_t>(key.branch);
  return (key.size ^ stream ^ owner * 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL >> 16;
}

Allocator::Allocator(Device device, std::size_t device_bytes)
    : device_(device),
      plain_(plain_allocator()),
      device_bytes_(device_bytes),
      limit_(device_bytes) {}

MemoryBlock Allocator::allocate(std::size_t bytes) {
  MemoryBlock block{.bytes = bytes, .stream = current_stream()};
  const std::lock_guard lock(mutex_);
  if (bytes > limit_ || in_use_ > limit_ - bytes) {
    throw out_of_memory(bytes);
  }
  const std::size_t size = block_size(bytes);
  Key key{0, block.stream, size};
  if (current_pool.allocator == this) {
    block.pool = current_pool.pool;
    block.branch = current_pool.branch;
    block.stream = pools_.at(block.pool);
    key = {block.pool, nullptr, size, block.branch};
  }
  block.data = take(bytes, key, block.stream);
  requested_ += bytes;
  in_use_ += size;
  peak_ = std::max(peak_, in_use_);
  ++allocations_;
  return block;
}

/// A free block of the key, or for a pool one that it takes over from its stream, or a new one.
std::byte* Allocator::take(std::size_t bytes, const Key& key, void* stream) {
  std::byte* block = take_free(key);
  if (block == nullptr && key.pool != 0) {
    block = take_free({0, stream, key.size});
  }
  if (block != nullptr) {
    return block;
  }
  if (reserved_ > limit_ - bytes) {
    trim_locked();
  }
  block = from_system(key.size);
  if (block == nullptr) {
    trim_locked();
    block = from_system(key.size);
  }
  if (block == nullptr) {
    throw out_of_memory(bytes);
  }
  reserved_ += key.size;
  return block;
}

void Allocator::release(const MemoryBlock& block) {
  const std::lock_guard lock(mutex_);
  const std::size_t size = block_size(block.bytes);
  requested_ -= block.bytes;
  in_use_ -= size;
  const bool in_pool = block.pool != 0 && pools_.contains(block.pool);
  keep_or_free(block.data,
               in_pool ? Key{block.pool, nullptr, size, block.branch} : Key{0, block.stream, size});
}

void Allocator::keep_or_free(std::byte* block, const Key& key) {
  if (!plain_ || key.pool != 0) {
    try {
      free_[key].push_back(block);
      return;
    } catch (const std::bad_alloc&) {
      // No memory for the list, and whoever called this must not throw.
      if (key.pool != 0) {
        return;  // a captured step may still write to it
      }
    }
  }
  to_system(block);
  reserved_ -= key.size;
}

/// The smallest size of a list that holds `bytes`: at most an eighth is wasted on large blocks.
std::size_t Allocator::block_size(std::size_t bytes) const {
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

std::byte* Allocator::take_free(const Key& key) {
  const auto list = free_.find(key);
  if (list == free_.end() || list->second.empty()) {
    return nullptr;
  }
  std::byte* block = list->second.back();
  list->second.pop_back();
  return block;
}

void Allocator::trim_locked() {
  std::erase_if(free_, [&](auto& entry) {
    auto& [key, blocks] = entry;
    if (key.pool != 0) {
      return false;
    }
    for (std::byte* block : blocks) {
      to_system(block);
      reserved_ -= key.size;
    }
    return true;
  });
}

void Allocator::trim() {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

// --- Counters -----------------------------------------------------------------------------------

MemoryStats Allocator::stats() const {
  const std::lock_guard lock(mutex_);
  std::size_t largest = 0;
  for (const auto& [key, blocks] : free_) {
    if (key.pool == 0 && !blocks.empty()) {
      largest = std::max(largest, key.size);
    }
  }
  return {.in_use = static_cast<std::int64_t>(in_use_),
          .peak = static_cast<std::int64_t>(peak_),
          .reserved = static_cast<std::int64_t>(reserved_),
          .allocations = allocations_,
          .requested = static_cast<std::int64_t>(requested_),
          .largest_free = static_cast<std::int64_t>(largest)};
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  peak_ = in_use_;
}

void Allocator::set_limit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes == 0 ? device_bytes_ : bytes;
}

OutOfMemoryError Allocator::out_of_memory(std::size_t bytes) const {
  return OutOfMemoryError(
      formatted("out of memory on {}: {} bytes asked for, {} in use, {} reserved, {}limit {}",
                device_, bytes, in_use_, reserved_, describe_device(), limit_));
}

// --- The allocators -----------------------------------------------------------------------------

Allocator& allocator_of(Device device) {
  // Never destroyed: tensors of static storage duration may outlive any static object.
  static auto& cpu = *new CpuAllocator();
  if (device.is_cpu()) {
    return cpu;
  }
  ops::require_compiled(device);
#if CKS_HAS_CUDA
  struct Slot {
    std::once_flag once;
    Allocator* allocator = nullptr;
  };
  static std::array<Slot, 64> cuda;
  Slot& slot = cuda.at(static_cast<std::size_t>(device.index));
  std::call_once(slot.once, [&] { slot.allocator = make_cuda_allocator(device); });
  return *slot.allocator;
#else
  return cpu;  // not reached
#endif
}

}  // namespace cks
