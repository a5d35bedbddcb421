#include "cks/core/device/cuda.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "cks/config.h"
#include "cks/core/autograd/grad_check.h"
#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/device/stream.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/tensor/random.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

// Devices, streams, the allocator and copies. Captured steps are in capture_cuda_test.cpp.

namespace cks {
namespace {

using testing::contains;
using testing::has_gpu;
using testing::message_of;
using testing::test_devices;

const Device kGpu = Device::cuda();
const Device kNone = Device::cuda(63);  // no machine has it
constexpr std::size_t kMegabyte = std::size_t{1} << 20;

std::vector<float> numbers(std::int64_t count, float first = 0.0F) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = first + static_cast<float>(i % 100003);
  }
  return values;
}

// --- Devices ------------------------------------------------------------------------------------

TEST_CASE("choose_device: auto takes a usable GPU or else the CPU, the others what they name") {
  CHECK(choose_device("cpu") == Device::cpu());
  const std::string reason = why_not_usable(kGpu);
  CHECK(choose_device("auto") == (reason.empty() ? kGpu : Device::cpu()));
  if (reason.empty()) {
    CHECK(choose_device("cuda") == kGpu);
    CHECK(choose_device("cuda:0") == kGpu);
    CHECK(cuda_device_count() >= 1);
  } else {
    CHECK(message_of<DeviceError>([] { choose_device("cuda"); }) == "cuda:0: " + reason);
  }
  CHECK(contains(message_of<DeviceError>([] { choose_device("gpu"); }), "auto, cpu, cuda"));
  CHECK(contains(message_of<DeviceError>([] { choose_device("cuda:63"); }), "cuda:63: "));
  CHECK(why_not_usable(Device::cpu()).empty());
}

TEST_CASE("a device that cannot be used is refused everywhere, with the reason") {
  const std::string reason = why_not_usable(kNone);
  REQUIRE_FALSE(reason.empty());
  const auto refused = [&](const std::function<void()>& body) {
    return contains(message_of<DeviceError>(body), "cuda:63: " + reason);
  };
  float value = 0.0F;
  CHECK(refused([] { cuda_device_info(kNone); }));
  CHECK(refused([] { synchronize(kNone); }));
  CHECK(refused([] { Stream stream(kNone); }));
  CHECK(refused([] { Stream::current(kNone); }));
  CHECK(refused([] { CapturedStep step([] {}, kNone); }));
  CHECK(refused([] { Storage::allocate(8, kNone); }));
  CHECK(refused([] { Tensor::ones({2}, DType::float32, kNone); }));
  CHECK(refused([] { Tensor::from_vector<float>({1}, {1}, kNone); }));
  CHECK(refused([] { Tensor::ones({2}).to(kNone); }));
  CHECK(refused([&] { Tensor::from_blob(&value, {1}, DType::float32, kNone); }));
  CHECK(refused([] { memory_stats(kNone); }));
}

TEST_CASE("Stream: the CPU's has nothing to wait for") {
  const Stream stream(Device::cpu());
  CHECK(stream.handle() == nullptr);
  CHECK(stream.device() == Device::cpu());
  const StreamGuard guard(stream);
  stream.wait_for(Stream::current(Device::cpu()));
  CHECK_NOTHROW(stream.synchronize());
  CHECK_NOTHROW(synchronize(Device::cpu()));
  CHECK_THROWS_AS(cuda_device_info(Device::cpu()), DeviceError);
}

TEST_CASE("cuda_device_info: says what a run's header needs") {
  if (!has_gpu()) {
    return;
  }
  const CudaDeviceInfo info = cuda_device_info(kGpu);
  CHECK_FALSE(info.name.empty());
  CHECK(info.compute_capability >= 75);
  CHECK(info.multiprocessors > 0);
  CHECK(info.total_bytes > 0);
  CHECK(info.free_bytes <= info.total_bytes);
  CHECK(contains(info.driver, "."));
  CHECK(info.compiled == CKS_CUDA_ARCHITECTURES);
}

TEST_CASE("describe_for_plans: CKS_COMPUTE_CAPABILITY hides the kernels of newer GPUs") {
  const std::string before =
      std::getenv("CKS_COMPUTE_CAPABILITY") == nullptr ? "" : std::getenv("CKS_COMPUTE_CAPABILITY");
  for (const char* wrong : {"", "9.0", "hopper", "8", "80 "}) {
    REQUIRE(setenv("CKS_COMPUTE_CAPABILITY", wrong, 1) == 0);
    CHECK(message_of<DeviceError>([] { describe_for_plans(kGpu); }) ==
          "CKS_COMPUTE_CAPABILITY is \"" + std::string(wrong) +
              "\", not a compute capability such as 75, 80 or 90");
  }
  REQUIRE(setenv("CKS_COMPUTE_CAPABILITY", "75", 1) == 0);
  if (has_gpu()) {
    CHECK(describe_for_plans(kGpu).compute_capability == 75);
  }
  if (before.empty()) {
    unsetenv("CKS_COMPUTE_CAPABILITY");
  } else {
    setenv("CKS_COMPUTE_CAPABILITY", before.c_str(), 1);
  }
}

// --- Allocator ----------------------------------------------------------------------------------

TEST_CASE("allocator: a freed block is reused on its own stream at once, elsewhere after trim") {
  if (!has_gpu()) {
    return;
  }
  trim_memory(kGpu);
  const MemoryStats before = memory_stats(kGpu);
  std::byte* address = Storage::allocate(kMegabyte, kGpu)->data();
  CHECK(reinterpret_cast<std::uintptr_t>(address) % 256 == 0);
  const bool caching = memory_stats(kGpu).reserved > before.reserved;
  const Stream side(kGpu);
  if (caching) {  // not with CKS_ALLOCATOR=plain
    {
      const StreamGuard guard(side);
      CHECK(Storage::allocate(kMegabyte, kGpu)->data() != address);
    }
    CHECK(Storage::allocate(kMegabyte, kGpu)->data() == address);
    CHECK(memory_stats(kGpu).largest_free == static_cast<std::int64_t>(kMegabyte));
    CHECK(memory_stats(kGpu).fragmentation() > 0.0);
  }
  trim_memory(kGpu);
  CHECK(memory_stats(kGpu).reserved == memory_stats(kGpu).in_use);
  CHECK(memory_stats(kGpu).in_use == before.in_use);
}

TEST_CASE("allocator: blocks of a stream that is gone serve the default stream") {
  if (!has_gpu()) {
    return;
  }
  trim_memory(kGpu);
  std::byte* address = nullptr;
  bool caching = false;
  {
    const Stream side(kGpu);
    const StreamGuard guard(side);
    const std::int64_t reserved = memory_stats(kGpu).reserved;
    address = Storage::allocate(3 * kMegabyte, kGpu)->data();
    caching = memory_stats(kGpu).reserved > reserved;
  }
  if (caching) {
    CHECK(Storage::allocate(3 * kMegabyte, kGpu)->data() == address);
  }
  trim_memory(kGpu);
}

TEST_CASE("allocator: out of memory says what is free on the GPU, and all goes on") {
  if (!has_gpu()) {
    return;
  }
  trim_memory(kGpu);
  const std::int64_t in_use = memory_stats(kGpu).in_use;
  // More than any GPU has, and more than this one has left.
  const std::size_t left = static_cast<std::size_t>(cuda_device_info(kGpu).free_bytes);
  for (const std::size_t bytes : {std::size_t{1} << 60, left + 64 * kMegabyte}) {
    const std::string message =
        message_of<OutOfMemoryError>([&] { Storage::allocate(bytes, kGpu); });
    CHECK(contains(message, std::to_string(bytes) + " bytes asked for"));
    CHECK(contains(message, std::to_string(in_use) + " in use"));
    CHECK(contains(message, "reserved"));
    CHECK(contains(message, "free on the device"));
  }
  CHECK(memory_stats(kGpu).in_use == in_use);
  CHECK(Tensor::ones({3}, DType::float32, kGpu).to_vector<float>() == std::vector<float>{1, 1, 1});
}

// --- Copies -------------------------------------------------------------------------------------

TEST_CASE(
    "copies: what goes to the GPU comes back, of any size, from memory that may change at once") {
  if (!has_gpu()) {
    return;
  }
  // The last is several times what may wait in pinned memory.
  for (const std::int64_t count : {0, 1, 1000, 262144, 262145, 20'000'003}) {
    CAPTURE(count);
    const std::vector<float> values = numbers(count);
    std::vector<float> source = values;
    const Tensor on_gpu = Tensor::from_vector(source, {count}, kGpu);
    std::fill(source.begin(), source.end(), -1.0F);
    CHECK(on_gpu.device() == kGpu);
    CHECK(on_gpu.to_vector<float>() == values);
    CHECK(on_gpu.clone().to(Device::cpu()).to_vector<float>() == values);
  }
}

TEST_CASE("copies: many small ones in a row, from several threads") {
  if (!has_gpu()) {
    return;
  }
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([thread] {
      std::vector<Tensor> held;
      held.reserve(100);
      for (int i = 0; i < 100; ++i) {
        held.push_back(
            Tensor::from_vector(numbers(500, static_cast<float>(1000 * thread + i)), {500}, kGpu));
      }
      for (int i = 0; i < 100; ++i) {
        CHECK(held[static_cast<std::size_t>(i)].to_vector<float>() ==
              numbers(500, static_cast<float>(1000 * thread + i)));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_CASE("copies: copy_ and to() cross devices, convert, and take part of a tensor") {
  if (!has_gpu()) {
    return;
  }
  const Tensor host = Tensor::arange(12, DType::float32).reshape({3, 4});
  Tensor gpu = Tensor::zeros({3, 4}, DType::float32, kGpu);
  const std::uint64_t version = gpu.version();
  gpu.slice(1, 3).copy_(host.slice(0, 2));
  CHECK(gpu.version() == version + 1);
  CHECK(gpu.to_vector<float>() == std::vector<float>{0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7});
  gpu.copy_(Tensor::arange(12).reshape({3, 4}));  // int64
  CHECK(gpu.to_vector<float>() == host.to_vector<float>());
  Tensor back = Tensor::zeros({2, 4}, DType::float64);
  back.copy_(gpu.slice(1, 3));
  CHECK(back.to_vector<double>() == std::vector<double>{4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(gpu.slice(2, 3).to(Device::cpu()).to_vector<float>() == std::vector<float>{8, 9, 10, 11});
  CHECK(is_same(gpu.to(kGpu), gpu));
  CHECK_FALSE(is_same(gpu.to(Device::cpu()), gpu));
  CHECK_THROWS_AS(gpu + host, DeviceError);
  CHECK_THROWS_AS(Tensor(host).set_grad(gpu), DeviceError);

  Tensor leaf = host.clone().set_requires_grad();
  sum(square(leaf.to(kGpu))).backward();  // the gradient comes back
  CHECK(leaf.grad().device() == Device::cpu());
  CHECK(leaf.grad().to_vector<float>()[5] == 10.0F);
}

TEST_CASE("copies: between two GPUs, in the order of both streams") {
  if (!has_gpu() || cuda_device_count() < 2 || !why_not_usable(Device::cuda(1)).empty()) {
    return;
  }
  const Device other = Device::cuda(1);
  const std::vector<float> values = numbers(3'000'000);
  for (int repeat = 0; repeat < 5; ++repeat) {
    Tensor first = Tensor::from_vector(values, {3'000'000}, kGpu);
    const Tensor second = (first + 1.0).to(other);
    first.fill_(-1);  // after the copy has been read
    const Tensor third = (second * 2.0).to(kGpu);
    const std::vector<float> result = third.to_vector<float>();
    CHECK(result.front() == 2.0F * (values.front() + 1.0F));
    CHECK(result.back() == 2.0F * (values.back() + 1.0F));
  }
}

TEST_CASE("from_blob: takes memory of the GPU and refuses the host's") {
  if (!has_gpu()) {
    return;
  }
  Tensor owner = Tensor::arange(6, DType::float32, kGpu);
  int calls = 0;
  {
    Tensor view =
        Tensor::from_blob(owner.data(), {2, 3}, DType::float32, kGpu, [&](void*) { ++calls; });
    view.fill_(4);
  }
  CHECK(calls == 1);
  CHECK(owner.to_vector<float>() == std::vector<float>(6, 4.0F));
  std::vector<float> host(6);
  CHECK_THROWS_AS(Tensor::from_blob(host.data(), {6}, DType::float32, kGpu), Error);
}

// --- Streams ------------------------------------------------------------------------------------

TEST_CASE("Stream: operations go to the current one, and streams wait for each other") {
  if (!has_gpu()) {
    return;
  }
  const Stream main = Stream::current(kGpu);
  const Stream side(kGpu);
  CHECK(main.handle() != nullptr);
  CHECK(side.handle() != main.handle());
  Tensor input = Tensor::ones({1'000'000}, DType::float32, kGpu);
  Tensor result;
  for (int i = 0; i < 20; ++i) {
    input = input + 1.0;
    side.wait_for(main);
    {
      const StreamGuard guard(side);
      CHECK(Stream::current(kGpu).handle() == side.handle());
      result = input * 2.0;
    }
    main.wait_for(side);
    CHECK(Stream::current(kGpu).handle() == main.handle());
  }
  CHECK(result.to_vector<float>().back() == 42.0F);
  side.synchronize();
  CHECK_NOTHROW(synchronize(kGpu));
  std::thread([&] { CHECK(Stream::current(kGpu).handle() == main.handle()); }).join();
}

// --- The tape and the host's numbers on every device --------------------------------------------

TEST_CASE("random numbers and grad_check are the same on every device") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const RandomKey key = make_random_key(7, RandomPurpose::data);
    Tensor expected = Tensor::empty({1000}, DType::float64);
    Tensor drawn = Tensor::empty({1000}, DType::float64, device);
    fill_normal(expected, 1.0, 2.0, key);
    fill_normal(drawn, 1.0, 2.0, key);
    CHECK(drawn.to_vector<double>() == expected.to_vector<double>());

    Tensor x = Tensor::empty({2, 3}, DType::float64, device);
    fill_uniform(x, 0.5, 1.5, key);
    const auto report = grad_check(
        [](const std::vector<Tensor>& inputs) { return sigmoid(inputs[0]) * square(inputs[1]); },
        {x, x + 1.0});
    CHECK_MESSAGE(report.ok, report.message);
    const auto wrong = grad_check(  // forgets half of the gradient
        [](const std::vector<Tensor>& inputs) { return inputs[0] * inputs[0].detach(); }, {x});
    CHECK_FALSE(wrong.ok);
  }
}

}  // namespace
}  // namespace cks
