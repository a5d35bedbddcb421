#include "cks/core/optim/clip_grad_norm.h"

#include <doctest/doctest.h>

#include "cks/core/optim/sgd.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::test_devices;

Tensor parameter(std::vector<double> gradient, DType dtype = DType::float64, Device device = {}) {
  const auto count = static_cast<std::int64_t>(gradient.size());
  Tensor p = Tensor::zeros({count}, dtype, device).set_requires_grad();
  p.set_grad(Tensor::from_vector(gradient, {count}, device).to(dtype));
  return p;
}

TEST_CASE("clip_grad_norm: one norm over all gradients, missing ones skipped") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor without = Tensor::zeros({3}, DType::float32, device).set_requires_grad();
    const std::vector<Tensor> parameters{parameter({3, 0}, DType::float64, device), without,
                                         parameter({-4}, DType::float32, device)};
    const ClippedNorm loose = clip_grad_norm(parameters, 10.0);
    CHECK(loose.norm.item() == 5.0);
    CHECK(loose.factor.item() == 1.0);
    const ClippedNorm tight = clip_grad_norm(parameters, 1.0);
    CHECK(tight.factor.item() == 1.0 / (5.0 + 1e-6));
    CHECK(parameters[0].grad().to_vector<double>() == std::vector<double>{3, 0});
    CHECK(clip_grad_norm({without}, 1.0).norm.item() == 0.0);
  }
}

TEST_CASE("clip_grad_norm: small float32 gradients neither vanish nor overflow") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const std::vector<Tensor> tiny{
        parameter(std::vector<double>(4, 1e-30), DType::float32, device)};
    CHECK(clip_grad_norm(tiny, 1.0).norm.item() == doctest::Approx(2e-30).epsilon(1e-6));
    const std::vector<Tensor> huge{parameter(std::vector<double>(4, 1e30), DType::float32, device)};
    CHECK(clip_grad_norm(huge, 1.0).norm.item() == doctest::Approx(2e30).epsilon(1e-6));
  }
}

TEST_CASE("clip_grad_norm: the optimiser moves by at most max_norm") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor p = parameter({30, 40}, DType::float64, device);
    Sgd optimizer({{"p", p}}, {.learning_rate = 1.0});
    optimizer.step(clip_grad_norm({p}, 0.5).factor);
    CHECK(p.to_vector<double>()[0] == doctest::Approx(-0.3));
    CHECK(p.to_vector<double>()[1] == doctest::Approx(-0.4));
  }
}

TEST_CASE("clip_grad_norm: a bad bound is refused") {
  CHECK_THROWS_AS(clip_grad_norm({parameter({1})}, 0.0), Error);
  CHECK_THROWS_AS(clip_grad_norm({Tensor()}, 1.0), Error);
}

}  // namespace
}  // namespace cks
