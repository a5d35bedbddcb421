#include "cks/core/ops/forward_pass.h"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/capture.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/loss.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/optim/sgd.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"
#include "cks/layers/sequential.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

// What the modules of one forward pass share: weights rounded at once, batches counted at once.

namespace cks {
namespace {

using testing::doubles;
using testing::random_tensor;
using testing::test_devices;

struct Net : Layer<Net> {
  using Layer::Layer;
  Tensor forward(const Tensor& x) override { return fc(mean(norm(norm(conv(x))), {1, 2})); }
  Conv2d conv{this, "conv", {.in_channels = 4, .out_channels = 8, .kernel_size = 3}};
  BatchNorm2d norm{this, "norm", {.num_features = 8}};
  Linear fc{this, "fc", {.in_features = 8, .out_features = 3}};
};

NamedTensors parameters_on(Device device, Net& net) {
  net.to(device);
  return net.named_parameters();
}

struct Training {
  Net net;
  Sgd optimizer;
  Tensor x;
  Tensor labels;
  Tensor loss;

  explicit Training(Device device)
      : optimizer(parameters_on(device, net), {.learning_rate = 0.5}),
        x(random_tensor({5, 6, 7, 4}, 1, DType::float32).to(device)),
        labels(Tensor::from_vector<std::int64_t>({0, 1, 2, 0, 1}, {5}).to(device)) {}

  void step() {
    const PrecisionScope bf16(Precision::bf16);
    optimizer.zero_grad();
    loss = cross_entropy(net(x), labels);
    loss.backward();
    optimizer.step();
  }
  std::vector<double> evaluate() {
    const PrecisionScope bf16(Precision::bf16);
    const NoGradGuard no_grad;
    net.eval();
    std::vector<double> result = doubles(net(x));
    net.train();
    return result;
  }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all = {doubles(loss)};
    for (const auto& [name, tensor] : net.state_dict()) {
      all.push_back(doubles(tensor.to(DType::float64)));
    }
    return all;
  }
};

TEST_CASE("ForwardPass: weights rounded at once give the bits of weights rounded one by one") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const PrecisionScope bf16(Precision::bf16);
    Training together(device);
    Training alone(device);
    const Tensor y = together.net(together.x);
    const Tensor expected = alone.net.forward(alone.x);  // each layer is a pass of its own
    CHECK(doubles(y) == doubles(expected));
    sum(y).backward();
    sum(expected).backward();
    for (std::size_t i = 0; i < together.net.parameters().size(); ++i) {
      const Tensor gradient = together.net.parameters()[i].grad();
      CHECK(gradient.dtype() == DType::float32);
      CHECK(doubles(gradient) == doubles(alone.net.parameters()[i].grad()));
    }
  }
}

TEST_CASE("ForwardPass: a captured step rounds the weights that it finds, whoever changed them") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Training plain(device);
    Training captured(device);
    CapturedStep step([&] { captured.step(); }, device);
    for (int t = 0; t < 6; ++t) {
      CAPTURE(t);
      plain.step();
      step.run();
      REQUIRE(captured.values() == plain.values());
      REQUIRE(captured.evaluate() == plain.evaluate());
      for (Training* training : {&plain, &captured}) {
        const NoGradGuard no_grad;
        training->net.conv.weight.copy_(training->net.conv.weight * 0.75);
      }
    }
    CHECK(captured.net.norm.num_batches_tracked.item() == 12);
  }
}

TEST_CASE("ForwardPass: captured, with large weights that are rounded beside the first layers") {
  for (const Device device : test_devices()) {
    for (const std::int64_t width : {16, 512}) {  // none, and one
      CAPTURE(device.to_string());
      CAPTURE(width);
      const PrecisionScope bf16(Precision::bf16);
      const NoGradGuard no_grad;
      Sequential net;
      net.add<Linear>({.in_features = 8, .out_features = 160});
      auto& last = net.add<Linear>({.in_features = 160, .out_features = width});
      net.initialize(3);
      net.to(device);
      const Tensor x = random_tensor({4, 8}, 2, DType::float32).to(device);
      Tensor y = Tensor::zeros({4, width}, DType::float32, device);
      CapturedStep step([&] { y.copy_(net(x).to(DType::float32)); }, device);
      for (int t = 0; t < 5; ++t) {
        CAPTURE(t);
        last.weight.copy_(last.weight * 0.75);
        step.run();
        CHECK(doubles(y) == doubles(net(x)));
      }
    }
  }
}

TEST_CASE("ForwardPass: a weight that changes within the pass is rounded anew") {
  struct Doubling : Layer<Doubling> {
    Tensor forward(const Tensor& x) override {
      const NoGradGuard no_grad;
      const Tensor once = fc(x);
      fc.weight.copy_(fc.weight * 2.0);
      return fc(x) - once;
    }
    Linear fc{this, "fc", {.in_features = 3, .out_features = 2, .bias = false}};
  };
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const PrecisionScope bf16(Precision::bf16);
    Doubling net;
    net.to(device);
    const Tensor x = random_tensor({4, 3}, 2, DType::float32).to(device);
    const auto before = doubles(net.fc(x));
    CHECK(doubles(net(x)) == before);
  }
}

TEST_CASE("ForwardPass: counts at its end, each time that it was asked to, unless it throws") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor a = Tensor::zeros({}, DType::int64, device);
    Tensor b = Tensor::zeros({}, DType::int64, device);
    const auto none = [] { return std::vector<Tensor>(); };
    const std::uint64_t version = b.version();
    {
      ForwardPass outer(none);
      ForwardPass::count_at_end(a);
      {
        ForwardPass inner(none);
        CHECK(ForwardPass::current() == &outer);
        ForwardPass::count_at_end(b);
        inner.finish();
      }
      ForwardPass::count_at_end(a);
      ForwardPass::count_at_end(b);
      outer.finish();
    }
    CHECK(ForwardPass::current() == nullptr);
    CHECK(a.item() == 2);
    CHECK(b.item() == 2);
    CHECK(b.version() > version);
    {
      ForwardPass left(none);
      ForwardPass::count_at_end(a);
    }
    CHECK(a.item() == 2);
    ForwardPass::count_at_end(a);  // outside of a pass
    CHECK(a.item() == 3);
  }
  const ForwardPass pass([] { return std::vector<Tensor>(); });
  Tensor wrong = Tensor::zeros({});
  CHECK_THROWS_AS(ForwardPass::count_at_end(wrong), DtypeError);
}

}  // namespace
}  // namespace cks
