#include "cks/core/ops/step_results.h"

#include <doctest/doctest.h>

#include <limits>

#include "cks/core/capture/capture.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/clip_grad_norm.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using testing::test_devices;

TEST_CASE("StepResults: a captured step adds up what the host reads at the end") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor logits = Tensor::from_vector(std::vector<float>{1, 2, 4, 3}, {2, 2}, device);
    const Tensor labels = Tensor::from_vector(std::vector<std::int64_t>{1, 1}, {2}, device);
    const Tensor loss = Tensor::scalar(0.5, DType::float32, device);
    const Tensor norm = Tensor::scalar(3.0, DType::float64, device);
    StepResults results(device);
    CHECK(results.read().gradient_norm == -1.0);
    CapturedStep step(
        [&] {
          results.add(loss, 2, logits, labels);
          results.judge(norm);
        },
        device);
    for (int i = 0; i < 5; ++i) {
      step.run();
    }
    StepSummary summary = results.read();
    CHECK(summary.steps == 5);
    CHECK(summary.images == 10);
    CHECK(summary.correct == 5);
    CHECK(summary.loss_sum == 5.0);
    CHECK(summary.loss == 0.5);
    CHECK(summary.gradient_norm == 3.0);
    CHECK_FALSE(summary.is_bad);
    results.add(loss, 2);
    CHECK(results.read_pending().loss_sum == 1.0);
    CHECK(results.read_pending().correct == 0);
    summary.steps = 7;
    results.reset(summary);
    CHECK(results.read().steps == 7);
    CHECK(results.read().loss_sum == 5.0);
    CHECK(results.read_pending().images == 0);
  }
}

TEST_CASE("StepResults: a bad step leaves parameters, state and counts of the optimiser alone") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor p = Tensor::ones({3}, DType::float32, device).set_requires_grad();
    p.set_grad(Tensor::ones({3}, DType::float32, device));
    Adam optimizer({{"p", p}}, {});
    StepResults results(device);
    const auto step = [&](double loss) {
      results.add(Tensor::scalar(loss, DType::float32, device), 1);
      const ClippedNorm gradient = clip_grad_norm({p}, 1.0);
      optimizer.step(gradient.factor, results.judge(gradient.norm));
    };
    step(1.0);
    const NamedTensors before = optimizer.state();
    const auto parameter = p.detach().to_vector<float>();
    step(std::numeric_limits<double>::infinity());
    step(1.0);
    CHECK(p.detach().to_vector<float>() == parameter);
    CHECK(optimizer.step_count() == 1);
    const NamedTensors after = optimizer.state();
    for (std::size_t i = 0; i < before.size(); ++i) {
      CHECK(testing::doubles(after[i].second) == testing::doubles(before[i].second));
    }
  }
}

TEST_CASE("StepResults: wrong arguments") {
  StepResults results(Device::cpu());
  const Tensor loss = Tensor::scalar(1.0);
  const Tensor logits = Tensor::zeros({2, 3});
  const Tensor labels = Tensor::zeros({2}, DType::int64);
  CHECK_THROWS_AS(results.add(Tensor::zeros({2}), 2), ShapeError);
  CHECK_THROWS_AS(results.add(Tensor::scalar(1, DType::int64), 2), DtypeError);
  CHECK_THROWS_AS(results.add(loss, 3, logits, labels), ShapeError);
  CHECK_THROWS_AS(results.add(loss, 2, logits, Tensor::zeros({3}, DType::int64)), ShapeError);
  CHECK_THROWS_AS(results.add(loss, 2, logits), Error);
  CHECK_THROWS_AS(results.judge(loss), DtypeError);
  CHECK_THROWS_AS(results.judge(Tensor::zeros({2}, DType::float64)), ShapeError);
  CapturedStep reads([&] { results.read(); });
  CHECK_THROWS_AS(reads.run(), CaptureError);
}

}  // namespace
}  // namespace cks
