#include "cks/core/ops/loss.h"

#include <doctest/doctest.h>

#include <cmath>

#include "cks/core/ops/reduce.h"
#include "cks/core/ops/softmax.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::message_of;
using testing::test_devices;

const Tensor kLogits = Tensor::from_vector<double>({1, 2, 3, 1, 1, 1}, {2, 3});

Tensor labels(std::vector<std::int64_t> values, Device device = {}) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::from_vector(values, {count}, device);
}

TEST_CASE("cross_entropy: PyTorch's values, smoothed or not") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor logits = kLogits.to(device);
    // torch.nn.functional.cross_entropy(logits, tensor([2, 0]), label_smoothing=s)
    CHECK(cross_entropy(logits, labels({2, 0}, device)).item() ==
          doctest::Approx(0.7531091265562452).epsilon(1e-14));
    CHECK(cross_entropy(logits, labels({2, 0}, device), {.label_smoothing = 0.1}).item() ==
          doctest::Approx(0.8031091265562452).epsilon(1e-14));
    CHECK(cross_entropy(logits, labels({2, 0}, device)).rank() == 0);
  }
}

TEST_CASE("cross_entropy: each row counts as the weight of its class says") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor logits = kLogits.to(device);
    const Tensor weights = Tensor::from_vector<double>({0.25, 7.0, 3.0}, {3}, device);
    // torch.nn.functional.cross_entropy(logits, tensor([2, 0]), reduction="none")
    constexpr double kFirst = 0.4076059644443803;
    constexpr double kSecond = 1.0986122886681098;
    CHECK(cross_entropy(logits, labels({2, 0}, device), {}, weights).item() ==
          doctest::Approx((3.0 * kFirst + 0.25 * kSecond) / 2.0).epsilon(1e-14));
    // Where all weights are alike it is the mean, times that.
    const Tensor alike = Tensor::full({3}, 2.0, DType::float64, device);
    CHECK(cross_entropy(logits, labels({2, 0}, device), {.label_smoothing = 0.1}, alike).item() ==
          doctest::Approx(2.0 * 0.8031091265562452).epsilon(1e-14));
  }
  const Tensor two = Tensor::ones({2}, DType::float64);
  CHECK(message_of<ShapeError>([&] {
          cross_entropy(kLogits, labels({2, 0}), {}, two);
        }) == "cross_entropy: class_weights has shape [2], expected [3]");
  CHECK_THROWS_AS(cross_entropy(kLogits, labels({2, 0}), {}, Tensor::ones({3})), DtypeError);
  CHECK(message_of<Error>([] {
          cross_entropy(kLogits, labels({2, 0}), {},
                        Tensor::ones({3}, DType::float64).set_requires_grad());
        }) == "cross_entropy: class_weights requires a gradient, but has none");
}

TEST_CASE("cross_entropy: a label out of range is named with its index and value") {
  CHECK(message_of<Error>([] {
          cross_entropy(kLogits, labels({2, 3}));
        }) == "cross_entropy: label 1 is 3, expected 0 to 2 (logits [2,3])");
  CHECK(message_of<Error>([] {
          cross_entropy(kLogits, labels({-1, 0}));
        }) == "cross_entropy: label 0 is -1, expected 0 to 2 (logits [2,3])");
}

TEST_CASE(
    "cross_entropy: on a GPU a label out of range makes the loss and its row's gradient NaN") {
  for (const Device device : test_devices()) {
    if (device.is_cpu()) {
      continue;
    }
    Tensor logits = kLogits.to(device).clone().set_requires_grad();
    const Tensor loss = cross_entropy(logits, labels({2, 3}, device));
    CHECK(std::isnan(loss.item()));
    loss.backward();
    const auto grad = logits.grad().to_vector<double>();
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(std::isnan(grad[i]) == (i >= 3));
    }
  }
}

TEST_CASE("cross_entropy, mse_loss: what does not fit is named") {
  CHECK(message_of<ShapeError>([] { cross_entropy(kLogits, labels({1})); }) ==
        "cross_entropy: labels has shape [1], expected [2]");
  CHECK(message_of<ShapeError>([] {
          cross_entropy(Tensor::empty({0, 3}), labels({}));
        }) == "cross_entropy: there is nothing to average (logits [0,3])");
  CHECK(message_of<Error>([] {
          cross_entropy(kLogits.reshape({1, 2, 3}), labels({1, -7}).reshape({1, 2}),
                        {.ignore_index = -1});
        }) == "cross_entropy: label 1 is -7, expected 0 to 2 (logits [1,2,3])");
  CHECK(message_of<ShapeError>([] {
          cross_entropy(kLogits.reshape({1, 2, 3}), labels({1, 2}));
        }) == "cross_entropy: labels has shape [2], expected [1,2]");
  CHECK(message_of<ShapeError>([] {
          bce_with_logits(kLogits, Tensor::ones({3}, DType::float64));
        }) == "bce_with_logits: target has shape [3], expected [2,3]");
  CHECK(message_of<ShapeError>([] { bce_with_logits(Tensor::empty({0}), Tensor::empty({0})); }) ==
        "bce_with_logits: there is nothing to average (logits [0])");
  CHECK_THROWS_AS(bce_with_logits(kLogits, Tensor::ones({2, 3})), DtypeError);
  CHECK_THROWS_AS(cross_entropy(kLogits, Tensor::ones({2}, DType::int32)), DtypeError);
  CHECK_THROWS_AS(cross_entropy(kLogits.reshape(Shape{6}), labels({1})), ShapeError);
  CHECK_THROWS_AS(cross_entropy(kLogits, labels({1, 1}), {.label_smoothing = 1.5}), Error);
  CHECK(message_of<ShapeError>([] { mse_loss(kLogits, Tensor::ones({3}, DType::float64)); }) ==
        "mse_loss: target has shape [3], expected [2,3]");
  CHECK_THROWS_AS(mse_loss(Tensor::empty({0}), Tensor::empty({0})), ShapeError);
}

TEST_CASE("cross_entropy: rows that are ignored count for nothing, alone they make 0") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor logits = kLogits.to(device).clone().set_requires_grad();
    const Tensor loss = cross_entropy(logits, labels({1, 255}, device), {.ignore_index = 255});
    CHECK(loss.item() ==
          doctest::Approx(cross_entropy(logits.slice(0, 1), labels({1}, device)).item()));
    loss.backward();
    const auto grad = logits.grad().to_vector<double>();
    CHECK(grad[0] != 0.0);
    CHECK(std::vector<double>(grad.begin() + 3, grad.end()) == std::vector<double>(3, 0.0));

    logits.zero_grad();
    const Tensor none = cross_entropy(logits, labels({255, 255}, device), {.ignore_index = 255});
    CHECK(none.item() == 0.0);
    none.backward();
    CHECK(logits.grad().to_vector<double>() == std::vector<double>(6, 0.0));
  }
}

TEST_CASE("mse_loss: the mean of the squares") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor logits = kLogits.to(device);
    const Tensor target = Tensor::from_vector<double>({1, 1, 1, 1, 1, 3}, {2, 3}, device);
    CHECK(mse_loss(logits, target).item() == doctest::Approx(9.0 / 6.0));
  }
}

TEST_CASE("l1_loss, huber_loss: means of distances, which Huber's squares near the target") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor target = Tensor::zeros({4}, DType::float64, device);
    Tensor input =
        Tensor::from_vector<double>({0.0, 0.25, -0.5, 3.0}, {4}, device).set_requires_grad();
    CHECK(l1_loss(input, target).item() == 3.75 / 4.0);
    // 0 + 0.25^2 / 2 + 0.5^2 / 2 + 0.5 * (3 - 0.25)
    const Tensor loss = huber_loss(input, target, 0.5);
    CHECK(loss.item() == (0.03125 + 0.125 + 1.375) / 4.0);
    loss.backward();
    CHECK(input.grad().to_vector<double>() == std::vector<double>{0.0, 0.0625, -0.125, 0.125});
  }
  CHECK(message_of<ShapeError>([] { l1_loss(kLogits, Tensor::ones({3}, DType::float64)); }) ==
        "l1_loss: target has shape [3], expected [2,3]");
  CHECK_THROWS_AS(huber_loss(Tensor::empty({0}), Tensor::empty({0})), ShapeError);
  CHECK_THROWS_AS(huber_loss(kLogits, Tensor::ones({2, 3})), DtypeError);
  CHECK(message_of<Error>([] { huber_loss(kLogits, kLogits, 0.0); }) ==
        "huber_loss: delta must be above 0 and finite, got 0");
}

TEST_CASE("softmax: rows add up to 1, the logarithm fits") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor logits = kLogits.to(device);
    const Tensor y = softmax(logits);
    const std::vector<double> values = y.to_vector<double>();
    CHECK(values[0] + values[1] + values[2] == doctest::Approx(1.0));
    CHECK(values[5] == doctest::Approx(1.0 / 3.0));
    std::vector<double> logarithms;
    for (const double value : values) {
      logarithms.push_back(std::log(value));
    }
    const Tensor expected = Tensor::from_vector(logarithms, {2, 3}, device);
    CHECK(compare(log_softmax(logits), expected, {4e-15}).ok);
    CHECK(message_of<ShapeError>([] {
            softmax(Tensor::empty({3, 0}));
          }) == "softmax: the last axis of the input is empty (input [3,0])");
    CHECK_THROWS_AS(log_softmax(Tensor::scalar(1.0)), ShapeError);
    CHECK_THROWS_AS(softmax(logits, 2), ShapeError);
    const Tensor over_rows = sum(softmax(logits, 0), {0});
    CHECK(compare(over_rows, Tensor::ones({3}, DType::float64, device), {1e-15}).ok);
  }
}

}  // namespace
}  // namespace cks
