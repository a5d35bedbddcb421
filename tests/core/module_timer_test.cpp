#include "cks/core/profile/module_timer.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops.h"
#include "cks/core/profile/module_path.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using std::chrono::milliseconds;

/// Passes its input on, and sleeps on the way back.
struct SleepNode : Node {
  const char* name() const override { return "sleep"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    std::this_thread::sleep_for(milliseconds(40));
    return {grad_output.clone()};
  }
};

Tensor sleep_op(const Tensor& x, int forward_ms) {
  std::this_thread::sleep_for(milliseconds(forward_ms));
  return record<SleepNode>(x.detach().clone(), {x}, [](SleepNode&) {});
}

const ModuleTime& find(const std::vector<ModuleTime>& times, const std::string& path) {
  for (const ModuleTime& time : times) {
    if (time.module_path == path) {
      return time;
    }
  }
  FAIL("no time of ", path);
  return times.front();
}

TEST_CASE("ModuleTimer: a module has its own time, forward and backward, its children theirs") {
  const Tensor x = Tensor::ones({2}).set_requires_grad();
  ModuleTimer timer(Device::cpu());
  Tensor y;
  {
    const ModulePathScope block("block");
    y = sleep_op(x, 20);
    {
      const ModulePathScope child("block.child");
      std::this_thread::sleep_for(milliseconds(60));
    }
  }
  sum(y).backward();
  const std::vector<ModuleTime> times = timer.times();
  REQUIRE(times.size() == 3);
  CHECK(times[0].module_path.empty());
  CHECK(times[1].module_path == "block");
  CHECK(times[2].module_path == "block.child");
  CHECK(times[1].forward >= 0.020);
  CHECK(times[1].backward >= 0.040);
  CHECK(times[2].forward >= 0.060);
  CHECK(times[2].backward == 0.0);
  // No stretch counts twice: generous, as the machine may be busy.
  CHECK(times[1].forward < 0.060 + times[2].forward);
  CHECK(times[0].backward < 0.040);
  CHECK(find(timer.times(), "block").forward == times[1].forward);
}

TEST_CASE("ModuleTimer: measures on each device; only the last made, until it ends") {
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    const Tensor a = Tensor::ones({256, 256}, DType::float32, device);
    ModuleTimer outer(device);
    {
      ModuleTimer inner(device);
      const ModulePathScope scope("layer");
      matmul(a, a);
      CHECK(find(inner.times(), "layer").forward > 0.0);
    }
    CHECK(outer.times().size() == 1);
    {
      const ModulePathScope scope("after");
      matmul(a, a);
    }
    CHECK(find(outer.times(), "after").forward > 0.0);
  }
}

TEST_CASE("merge_module_times: sums by module") {
  std::vector<ModuleTime> sums{{"a", 1.0, 2.0}};
  merge_module_times(sums, {{"b", 1.0, 1.0}, {"a", 0.5, 0.25}});
  REQUIRE(sums.size() == 2);
  CHECK(sums[0].forward == 1.5);
  CHECK(sums[0].backward == 2.25);
  CHECK(sums[1].module_path == "b");
}

}  // namespace
}  // namespace cks
