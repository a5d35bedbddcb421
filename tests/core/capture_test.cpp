#include "cks/core/capture/capture.h"

#include <doctest/doctest.h>

#include <thread>

#include "cks/core/device/capture_rules.h"
#include "tests/core/test_ops.h"

namespace cks {
namespace {

using testing::contains;
using testing::message_of;

Tensor output(const char* operation, const Shape& shape) {
  return ops::make_output(operation, shape, DType::float32, Device::cpu());
}

TEST_CASE("CapturedStep: runs its body each time") {
  int calls = 0;
  CapturedStep step([&] {
    ++calls;
    CHECK(capture::active());
    output("relu", {2});
  });
  CHECK_FALSE(capture::active());
  step.run();
  step.run();
  step.run();
  CHECK(calls == 3);
  CHECK_FALSE(capture::active());
  CHECK_THROWS_AS(CapturedStep({}), Error);
}

TEST_CASE("CapturedStep: a shape that changes names the operation and both shapes") {
  std::int64_t rows = 4;
  CapturedStep step([&] {
    output("relu", {2});
    output("conv2d", {rows, 3});
  });
  step.run();
  step.run();
  rows = 5;
  const std::string message = message_of<CaptureError>([&] { step.run(); });
  CHECK(contains(message, "conv2d"));
  CHECK(contains(message, "[5,3]"));
  CHECK(contains(message, "[4,3]"));
  rows = 4;
  CHECK_NOTHROW(step.run());  // the recording is as it was
  step.reset();
  rows = 6;
  CHECK_NOTHROW(step.run());
  CHECK_NOTHROW(step.run());
}

TEST_CASE("CapturedStep: another operation, more of them, or fewer are refused") {
  int mode = 0;
  CapturedStep step([&] {
    output(mode == 1 ? "tanh" : "relu", {2});
    if (mode != 2) {
      output("sum", {});
    }
    if (mode == 3) {
      output("extra", {1});
    }
  });
  step.run();
  mode = 1;
  CHECK(contains(message_of<CaptureError>([&] { step.run(); }), "tanh"));
  mode = 2;
  CHECK(contains(message_of<CaptureError>([&] { step.run(); }), "sum"));
  mode = 3;
  CHECK(contains(message_of<CaptureError>([&] { step.run(); }), "extra"));
}

TEST_CASE("CapturedStep: reading a value throws with the operation's name") {
  const Tensor tensor = Tensor::ones({1});
  const auto message_in_step = [](const std::function<void()>& body) {
    CapturedStep step(body);
    return message_of<CaptureError>([&] { step.run(); });
  };
  CHECK(contains(message_in_step([&] { static_cast<void>(tensor.item()); }), "item:"));
  CHECK(contains(message_in_step([&] { static_cast<void>(tensor.to_vector<float>()); }),
                 "to_vector:"));
  CHECK(contains(message_in_step([&] { static_cast<void>(tensor.to_string()); }), "to_string:"));
  CHECK(contains(message_in_step([&] {
                   CapturedStep inner([] {});
                   inner.run();
                 }),
                 "inside another captured step"));
  CHECK(tensor.item() == 1);  // allowed outside
}

TEST_CASE("CapturedStep: a body that throws leaves no step behind, and is recorded anew") {
  bool fail = true;
  CapturedStep step([&] {
    output("relu", {fail ? 3 : 2});
    if (fail) {
      throw Error("first");
    }
  });
  CHECK_THROWS_WITH_AS(step.run(), "first", Error);
  CHECK_FALSE(capture::active());
  fail = false;
  CHECK_NOTHROW(step.run());
  CHECK_NOTHROW(step.run());
}

TEST_CASE("CapturedStep: a training step on the tape may be repeated") {
  Tensor x = Tensor::full({2}, 3).set_requires_grad();
  const Tensor rate = Tensor::scalar(0.5);
  CapturedStep step([&] {
    x.zero_grad();
    testing::multiply(x, x).reshape({2}).backward(Tensor::ones({2}));
    const NoGradGuard no_grad;
    float* values = x.data_as<float>();
    for (int i = 0; i < 2; ++i) {
      values[i] -= rate.data_as<float>()[0] * x.grad().data_as<float>()[i];
    }
    x.bump_version();
  });
  step.run();
  CHECK(x.to_vector<float>() == std::vector<float>{0, 0});
  x.detach().fill_(1);
  Tensor(rate).fill_(0.25);
  step.run();
  CHECK(x.to_vector<float>() == std::vector<float>{0.5, 0.5});
}

TEST_CASE("CapturedStep: a step on one thread does not bind another") {
  CapturedStep step([] {
    std::thread other([] {
      CHECK_FALSE(capture::active());
      CHECK(Tensor::ones({1}).item() == 1);
    });
    other.join();
  });
  step.run();
}

}  // namespace
}  // namespace cks
