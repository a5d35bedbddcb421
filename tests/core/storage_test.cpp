#include "cks/core/memory/storage.h"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "cks/core/device/cuda.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;
using testing::test_devices;

constexpr std::size_t kMegabyte = 1 << 20;

/// Sets the limit back when a test ends.
struct LimitScope {
  Device device;
  LimitScope(std::int64_t bytes, Device limited) : device(limited) {
    set_memory_limit(bytes, device);
  }
  ~LimitScope() { set_memory_limit(0, device); }
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;
};

TEST_CASE("storage: blocks are aligned to 256 bytes, empty ones have an address, too") {
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{4097}, 3 * kMegabyte + 1}) {
    const auto storage = Storage::allocate(bytes, Device::cpu());
    CHECK(storage->bytes() == bytes);
    CHECK(storage->data() != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(storage->data()) % 256 == 0);
    std::memset(storage->data(), 1, bytes);
  }
}

TEST_CASE("storage: counters follow what is held, its peak, and what is kept") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    trim_memory(device);
    const MemoryStats before = memory_stats(device);
    reset_peak_memory(device);
    {
      const auto first = Storage::allocate(kMegabyte, device);
      {
        const auto second = Storage::allocate(kMegabyte, device);
        CHECK(memory_stats(device).in_use >=
              before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
        CHECK(memory_stats(device).requested ==
              before.requested + 2 * static_cast<std::int64_t>(kMegabyte));
      }
      CHECK(memory_stats(device).in_use < before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
    }
    const MemoryStats after = memory_stats(device);
    CHECK(after.in_use == before.in_use);
    CHECK(after.requested == before.requested);
    CHECK(after.peak >= before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
    CHECK(after.allocations == before.allocations + 2);
    CHECK(after.reserved >= after.in_use);
    if (after.reserved > after.in_use) {
      CHECK(after.largest_free == static_cast<std::int64_t>(kMegabyte));
      CHECK(after.fragmentation() > before.fragmentation());
    }
    trim_memory(device);
    CHECK(memory_stats(device).reserved == memory_stats(device).in_use);
    CHECK(memory_stats(device).largest_free == 0);
    reset_peak_memory(device);
    CHECK(memory_stats(device).peak == memory_stats(device).in_use);
  }
  CHECK(MemoryStats{}.fragmentation() == 0.0);
  CHECK(MemoryStats{.reserved = 4, .requested = 3}.fragmentation() == 0.25);
}

TEST_CASE("storage: repeating the same requests reserves nothing more") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto round = [&] {
      std::vector<std::shared_ptr<Storage>> blocks;
      for (std::size_t i = 1; i < 50; ++i) {
        blocks.push_back(Storage::allocate(i * 1000, device));
      }
    };
    round();
    const std::int64_t reserved = memory_stats(device).reserved;
    for (int i = 0; i < 20; ++i) {
      round();
    }
    CHECK(memory_stats(device).reserved == reserved);
  }
}

TEST_CASE("storage: out of memory names the bytes, and nothing is lost") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const MemoryStats before = memory_stats(device);
    std::string message =
        message_of<OutOfMemoryError>([&] { Storage::allocate(std::size_t{1} << 62, device); });
    CHECK(contains(message, "out of memory on " + device.to_string()));
    CHECK(contains(message, "4611686018427387904 bytes"));
    CHECK(contains(message, std::to_string(before.in_use) + " in use"));
    CHECK_THROWS_AS(Storage::allocate(~std::size_t{0}, device), OutOfMemoryError);
    {
      const LimitScope limit(before.in_use + static_cast<std::int64_t>(kMegabyte), device);
      message = message_of<OutOfMemoryError>([&] { Storage::allocate(2 * kMegabyte, device); });
      CHECK(contains(message, "2097152 bytes"));
      CHECK_NOTHROW(Storage::allocate(kMegabyte / 2, device));
    }
    CHECK(memory_stats(device).in_use == before.in_use);
    CHECK_NOTHROW(Storage::allocate(2 * kMegabyte, device));
    CHECK_THROWS_AS(set_memory_limit(-1, device), Error);
  }
}

TEST_CASE("storage: a CUDA device that cannot be used is refused with the reason") {
  const Device none = Device::cuda(63);
  CHECK(message_of<DeviceError>([&] { Storage::allocate(8, none); }) ==
        "cuda:63: " + why_not_usable(none));
  CHECK_THROWS_AS(memory_stats(none), DeviceError);
}

TEST_CASE("storage: lent memory goes back through its deleter, once") {
  int calls = 0;
  std::vector<std::byte> memory(16);
  {
    const auto storage = Storage::adopt(memory.data(), 16, {}, [&](void* data) {
      ++calls;
      CHECK(data == memory.data());
    });
    const auto second = storage;
    CHECK(calls == 0);
  }
  CHECK(calls == 1);
  CHECK_NOTHROW(Storage::adopt(memory.data(), 16, {}, {}));
}

TEST_CASE("storage: versions rise, and those of two storages never meet") {
  const auto first = Storage::allocate(8, {});
  const auto second = Storage::allocate(8, {});
  const std::uint64_t version = first->version();
  for (int i = 0; i < 1000; ++i) {
    first->bump_version();
    CHECK(first->version() != second->version());
  }
  CHECK(first->version() == version + 1000);
}

TEST_CASE("storage: several threads may allocate and free at the same time") {
  const std::int64_t before = memory_stats().in_use;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([thread] {
      std::vector<std::shared_ptr<Storage>> held;
      for (std::size_t i = 0; i < 400; ++i) {
        const std::size_t bytes = (i * 37 % 11 + 1) * 512;
        held.push_back(Storage::allocate(bytes, {}));
        std::memset(held.back()->data(), thread + 1, bytes);
        if (i % 3 == 0) {
          const auto& block = held[i % held.size()];
          CHECK(block->data()[0] == std::byte(thread + 1));
          CHECK(block->data()[block->bytes() - 1] == std::byte(thread + 1));
          held.erase(held.begin());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(memory_stats().in_use == before);
}

TEST_CASE("Device: reading and printing") {
  CHECK(Device::parse("cpu") == Device::cpu());
  CHECK(Device::parse("cuda") == Device::cuda(0));
  CHECK(Device::parse("cuda:3") == Device::cuda(3));
  CHECK(Device::cuda(3).to_string() == "cuda:3");
  CHECK(Device::cpu().to_string() == "cpu");
  for (const char* text :
       {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "CPU", "cuda:99999999999999999999"}) {
    CHECK(contains(message_of<DeviceError>([&] { Device::parse(text); }), "cuda:N"));
  }
}

}  // namespace
}  // namespace cks
