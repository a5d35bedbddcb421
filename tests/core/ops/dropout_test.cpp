#include "cks/core/ops/dropout.h"

#include <doctest/doctest.h>

#include "cks/core/autograd/autograd.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::doubles;
using testing::message_of;
using testing::random_tensor;
using testing::test_devices;

const RandomKey kKey = make_random_key(3, RandomPurpose::dropout, "fc.dropout");

TEST_CASE("dropout: the gradient passes where the element did") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = random_tensor({40, 5}, 1).to(device).set_requires_grad();
    const Tensor step = Tensor::zeros({}, DType::int64, device);
    const Tensor y = dropout(x, 0.5, kKey, step);
    y.backward(Tensor::ones(y.shape(), DType::float64, device));
    const auto in = x.to_vector<double>();
    const auto out = y.to_vector<double>();
    const auto grad = x.grad().to_vector<double>();
    int kept = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      CHECK(out[i] == in[i] * grad[i]);
      kept += grad[i] == 2.0 ? 1 : 0;
      CHECK((grad[i] == 2.0 || grad[i] == 0.0));
    }
    CHECK(kept > 60);
    CHECK(kept < 140);
  }
}

TEST_CASE("dropout: another step drops others, the same step the same") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = random_tensor({100}, 1).to(device);
    Tensor step = Tensor::zeros({1}, DType::int64, device);
    const auto first = dropout(x, 0.5, kKey, step).to_vector<double>();
    CHECK(dropout(x, 0.5, kKey, step).to_vector<double>() == first);
    step.fill_(1);
    CHECK(dropout(x, 0.5, kKey, step).to_vector<double>() != first);
  }
}

TEST_CASE("dropout: every device drops the same elements") {
  const auto run = [](Device device, DType dtype) {
    const Tensor step = Tensor::full({}, 41, DType::int64, device);
    return dropout(random_tensor({1001}, 1, dtype).to(device), 0.3, kKey, step);
  };
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto expected = doubles(run(Device::cpu(), dtype));
    for (const Device device : test_devices()) {
      CAPTURE(device.to_string());
      CHECK(doubles(run(device, dtype)) == expected);
    }
  }
}

TEST_CASE("dropout: the gradient is that of the step that was read") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::ones({100}, DType::float64, device).set_requires_grad();
    Tensor step = Tensor::zeros({}, DType::int64, device);
    const Tensor y = dropout(x, 0.5, kKey, step);
    step.fill_(1);
    y.backward(Tensor::ones(y.shape(), DType::float64, device));
    CHECK(doubles(x.grad()) == doubles(y));
  }
}

TEST_CASE("dropout: what does not fit is named") {
  const Tensor x = random_tensor({4}, 1);
  const Tensor step = Tensor::zeros({}, DType::int64);
  CHECK(message_of<Error>([&] { dropout(x, 1.5, kKey, step); }) ==
        "dropout: p must lie in [0, 1], got 1.5");
  CHECK_THROWS_AS(dropout(x, -0.1, kKey, step), Error);
  CHECK(message_of<ShapeError>([&] { dropout(x, 0.5, kKey, Tensor::zeros({2}, DType::int64)); }) ==
        "dropout: step has shape [2], expected one element");
  CHECK_THROWS_AS(dropout(x, 0.5, kKey, Tensor::zeros({})), DtypeError);
}

}  // namespace
}  // namespace cks
