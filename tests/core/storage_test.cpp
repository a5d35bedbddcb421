#include "cks/core/storage.h"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "cks/core/module_path.h"
#include "tests/core/test_ops.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;

constexpr std::size_t kMegabyte = 1 << 20;

/// Sets the limit back when a test ends.
struct LimitScope {
  explicit LimitScope(std::int64_t bytes) { set_memory_limit(bytes); }
  ~LimitScope() { set_memory_limit(0); }
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
  trim_memory();
  const MemoryStats before = memory_stats();
  reset_peak_memory();
  {
    const auto first = Storage::allocate(kMegabyte, {});
    {
      const auto second = Storage::allocate(kMegabyte, {});
      CHECK(memory_stats().in_use >= before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
    }
    CHECK(memory_stats().in_use < before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
  }
  const MemoryStats after = memory_stats();
  CHECK(after.in_use == before.in_use);
  CHECK(after.peak >= before.in_use + 2 * static_cast<std::int64_t>(kMegabyte));
  CHECK(after.allocations == before.allocations + 2);
  CHECK(after.reserved >= after.in_use);
  trim_memory();
  CHECK(memory_stats().reserved == memory_stats().in_use);
  reset_peak_memory();
  CHECK(memory_stats().peak == memory_stats().in_use);
}

TEST_CASE("storage: repeating the same requests reserves nothing more") {
  const auto round = [] {
    std::vector<std::shared_ptr<Storage>> blocks;
    for (std::size_t i = 1; i < 50; ++i) {
      blocks.push_back(Storage::allocate(i * 1000, {}));
    }
  };
  round();
  const std::int64_t reserved = memory_stats().reserved;
  for (int i = 0; i < 20; ++i) {
    round();
  }
  CHECK(memory_stats().reserved == reserved);
}

TEST_CASE("storage: out of memory names bytes and module path, and nothing is lost") {
  const MemoryStats before = memory_stats();
  const ModulePathScope path("layer1.conv1");
  std::string message =
      message_of<OutOfMemoryError>([] { Storage::allocate(std::size_t{1} << 62, {}); });
  CHECK(contains(message, "4611686018427387904 bytes"));
  CHECK(contains(message, std::to_string(before.in_use) + " in use"));
  CHECK(contains(message, "layer1.conv1"));
  CHECK_THROWS_AS(Storage::allocate(~std::size_t{0}, {}), OutOfMemoryError);
  {
    const LimitScope limit(before.in_use + static_cast<std::int64_t>(kMegabyte));
    message = message_of<OutOfMemoryError>([] { Storage::allocate(2 * kMegabyte, {}); });
    CHECK(contains(message, "2097152 bytes"));
    CHECK_NOTHROW(Storage::allocate(kMegabyte / 2, {}));
  }
  CHECK(memory_stats().in_use == before.in_use);
  CHECK_NOTHROW(Storage::allocate(2 * kMegabyte, {}));
  CHECK_THROWS_AS(set_memory_limit(-1), Error);
}

TEST_CASE("storage: a CUDA device is refused by a build without CUDA") {
  CHECK(contains(message_of<DeviceError>([] { Storage::allocate(8, Device::cuda(1)); }),
                 "cuda:1: this build has no CUDA"));
  CHECK_THROWS_AS(memory_stats(Device::cuda()), DeviceError);
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
