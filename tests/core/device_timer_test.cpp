#include "cks/core/profile/device_timer.h"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "cks/core/capture/capture.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/device/cuda.h"
#include "cks/core/error.h"
#include "cks/core/tensor/random.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using testing::has_gpu;
using testing::test_devices;

TEST_CASE("DeviceTimer: more work takes longer, and a timer can be used again") {
  for (const Device device : test_devices()) {
    Tensor a = Tensor::empty({256, 256});
    fill_uniform(a, -1.0, 1.0, make_random_key(1, RandomPurpose::data));
    a = a.to(device);
    DeviceTimer timer(device);
    const auto seconds_of = [&](int products) {
      timer.start();
      for (int i = 0; i < products; ++i) {
        matmul(a, a);
      }
      timer.stop();
      return timer.seconds();
    };
    seconds_of(1);  // the first one loads code
    const double few = seconds_of(2);
    const double many = seconds_of(400);
    CHECK(few > 0.0);
    CHECK(many > 4.0 * few);
  }
}

TEST_CASE("DeviceTimer: the host's own time does not count on a GPU") {
  if (!has_gpu()) {
    return;
  }
  using Clock = std::chrono::steady_clock;
  DeviceTimer timer(Device::cuda());
  const Tensor x = Tensor::zeros({16}, DType::float32, Device::cuda());
  synchronize(Device::cuda());
  timer.start();
  timer.stop();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto begin = Clock::now();
  CHECK(timer.seconds() < 0.1);
  CHECK(std::chrono::duration<double>(Clock::now() - begin).count() < 0.1);
}

TEST_CASE("DeviceTimer: not inside a captured step of a GPU") {
  if (!has_gpu()) {
    return;
  }
  DeviceTimer timer(Device::cuda());
  CapturedStep step([&] { timer.start(); }, Device::cuda());
  CHECK_THROWS_AS(step.run(), CaptureError);
}

TEST_CASE("DeviceTimer: a device that does not exist") {
  CHECK_THROWS_AS(DeviceTimer(Device::cuda(63)), DeviceError);
}

}  // namespace
}  // namespace cks
