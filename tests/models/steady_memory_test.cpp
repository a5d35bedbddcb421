#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <utility>

#include "cks/core/capture/capture.h"
#include "cks/core/device/cuda.h"
#include "cks/core/ops/loss.h"
#include "cks/core/optim/adam.h"
#include "cks/core/tensor/random.h"
#include "cks/models/registry.h"

// 2,000 training steps on the GPU take no more memory than the first few, neither there nor on the
// host, step by step as well as captured.

namespace cks {
namespace {

constexpr int kSteps = 2000;
constexpr int kSettled = 200;  // by then every kernel is loaded and every block allocated
constexpr std::int64_t kBatch = 128;
constexpr double kMebibyte = 1024.0 * 1024.0;

struct Memory {
  std::int64_t reserved = 0;     // by the allocator
  std::int64_t device_free = 0;  // of the whole GPU, which nobody else may use meanwhile
  std::int64_t resident = 0;     // of this process on the host
};

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0;
  std::int64_t resident = 0;
  REQUIRE(static_cast<bool>(file >> all >> resident));
  return resident * sysconf(_SC_PAGESIZE);
}

Memory measure() {
  synchronize(Device::cuda());
  return {.reserved = memory_stats(Device::cuda()).reserved,
          .device_free = cuda_device_info(Device::cuda()).free_bytes,
          .resident = resident_bytes()};
}

/// Trains LeNet-5; `prepare(body)` gives what makes one step of the body.
void check_steady(const char* what,
                  const std::function<std::function<void()>(std::function<void()>)>& prepare) {
  const auto model = make_model("lenet5");
  model->to(Device::cuda());
  const ModelInfo info = model_info("lenet5");
  Tensor images = Tensor::empty({kBatch, info.image_size, info.image_size, info.in_channels});
  fill_uniform(images, -1.0, 1.0, make_random_key(1, RandomPurpose::data));
  const Tensor x = images.to(Device::cuda());
  const Tensor y = Tensor::zeros({kBatch}, DType::int64, Device::cuda());
  Adam optimizer(model->named_parameters());
  Tensor loss;
  const std::function<void()> step = prepare([&] {
    optimizer.zero_grad();
    loss = cross_entropy((*model)(x), y);
    loss.backward();
    optimizer.step();
  });
  Memory settled;
  double first_loss = 0.0;
  for (int i = 1; i <= kSteps; ++i) {
    step();
    if (i == 1) {
      first_loss = loss.item();
    }
    if (i == kSettled) {
      settled = measure();
    }
  }
  const Memory end = measure();
  CHECK(loss.item() < 0.1 * first_loss);  // it did train
  std::printf("%s: steps %d to %d, reserved %.1f to %.1f MiB, host %.1f to %.1f MiB\n", what,
              kSettled, kSteps, static_cast<double>(settled.reserved) / kMebibyte,
              static_cast<double>(end.reserved) / kMebibyte,
              static_cast<double>(settled.resident) / kMebibyte,
              static_cast<double>(end.resident) / kMebibyte);
  std::fflush(stdout);
  CHECK(end.reserved == settled.reserved);
  CHECK(end.device_free >= settled.device_free);
  // A page now and then is the system's; one small object a step would be more.
  CHECK(end.resident - settled.resident < 64 * 1024);
}

TEST_CASE("2,000 steps, one after the other, take no more memory") {
  check_steady("eager", [](std::function<void()> body) { return body; });
}

TEST_CASE("2,000 steps of a captured step take no more memory") {
  check_steady("captured", [](std::function<void()> body) {
    const auto captured = std::make_shared<CapturedStep>(std::move(body), Device::cuda());
    return [captured] { captured->run(); };
  });
}

}  // namespace
}  // namespace cks
