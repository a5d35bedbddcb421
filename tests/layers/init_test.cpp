#include "cks/layers/init.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "cks/core/ops.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/linear.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;

struct Moments {
  double mean = 0.0, stddev = 0.0, largest = 0.0;
};

Moments moments_of(const Tensor& tensor) {
  Moments m;
  const std::vector<double> values = testing::doubles(tensor);
  for (const double value : values) {
    m.mean += value / static_cast<double>(values.size());
    m.largest = std::max(m.largest, std::abs(value));
  }
  for (const double value : values) {
    m.stddev += (value - m.mean) * (value - m.mean) / static_cast<double>(values.size());
  }
  m.stddev = std::sqrt(m.stddev);
  return m;
}

TEST_CASE("init: fans of the three kinds of weight") {
  const init::Fans linear = init::fans_of({7, 5});  // [out,in]
  CHECK(linear.in == 5);
  CHECK(linear.out == 7);
  const init::Fans conv = init::fans_of({16, 3, 2, 4});  // [OC,FH,FW,IC/G]
  CHECK(conv.in == 3 * 2 * 4);
  CHECK(conv.out == 3 * 2 * 16);
  CHECK_THROWS_AS(init::fans_of({7}), ShapeError);
  CHECK_THROWS_AS(init::fans_of({0, 7}), ShapeError);
}

TEST_CASE("init: every distribution has its spread, mean 0 and bounds") {
  const RandomKey key = init::parameter_key(1, "net.conv", "weight");
  constexpr double kIn = 9.0 * 32.0;
  constexpr double kOut = 9.0 * 64.0;
  struct Case {
    const char* name;
    std::function<void(Tensor&)> fill;
    double stddev;
    bool uniform;
  };
  const std::vector<Case> cases = {
      {"uniform", [&](Tensor& t) { init::uniform(t, -0.5, 0.5, key); }, std::sqrt(1.0 / 12), true},
      {"normal", [&](Tensor& t) { init::normal(t, 0.0, 0.3, key); }, 0.3, false},
      {"kaiming_uniform", [&](Tensor& t) { init::kaiming_uniform(t, key); }, std::sqrt(2.0 / kIn),
       true},
      {"kaiming_uniform, fan_out, slope",
       [&](Tensor& t) {
         init::kaiming_uniform(t, key, {.fan = init::FanMode::fan_out, .slope = 0.5});
       },
       std::sqrt(2.0 / (1.25 * kOut)), true},
      {"kaiming_normal", [&](Tensor& t) { init::kaiming_normal(t, key); }, std::sqrt(2.0 / kIn),
       false},
      {"xavier_uniform", [&](Tensor& t) { init::xavier_uniform(t, key, 2.0); },
       2.0 * std::sqrt(2.0 / (kIn + kOut)), true},
      {"xavier_normal", [&](Tensor& t) { init::xavier_normal(t, key); },
       std::sqrt(2.0 / (kIn + kOut)), false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Tensor weight = Tensor::empty({64, 3, 3, 32});
    c.fill(weight);
    const Moments m = moments_of(weight);
    // 18,432 numbers: five standard errors.
    CHECK(std::abs(m.mean) < 5.0 * c.stddev / std::sqrt(18432.0));
    CHECK(std::abs(m.stddev / c.stddev - 1.0) < 5.0 / std::sqrt(2.0 * 18432.0));
    if (c.uniform) {
      CHECK(m.largest <= std::sqrt(3.0) * c.stddev * (1.0 + 1e-6));
      CHECK(m.largest >= std::sqrt(3.0) * c.stddev * 0.99);
    } else {
      CHECK(m.largest > 3.0 * c.stddev);
    }
    Tensor wide = Tensor::empty({64, 3, 3, 32}, DType::float64);
    c.fill(wide);
    CHECK(compare(weight, wide, {.absolute = 1e-6}).ok);
  }
}

TEST_CASE("init: what draws fractions refuses integers") {
  const RandomKey key = init::parameter_key(1, "net.conv", "weight");
  for (const DType dtype : {DType::int64, DType::int32, DType::uint8}) {
    Tensor weight = Tensor::ones({3, 3}, dtype);
    CHECK_THROWS_AS(init::uniform(weight, 0, 1, key), DtypeError);
    CHECK_THROWS_AS(init::normal(weight, 0, 1, key), DtypeError);
    CHECK_THROWS_AS(init::kaiming_uniform(weight, key), DtypeError);
    CHECK_THROWS_AS(init::kaiming_normal(weight, key), DtypeError);
    CHECK_THROWS_AS(init::xavier_uniform(weight, key), DtypeError);
    CHECK_THROWS_AS(init::xavier_normal(weight, key), DtypeError);
    CHECK_THROWS_AS(init::constant(weight, 0.5), DtypeError);
    CHECK(weight.to(DType::float32).to_vector<float>() == std::vector<float>(9, 1.0F));
  }
}

TEST_CASE("init: constant, and parameters that require a gradient") {
  Tensor weight = Tensor::empty({3, 2}).set_requires_grad();
  init::constant(weight, 2.5);
  CHECK(weight.to_vector<float>() == std::vector<float>(6, 2.5F));
  init::xavier_uniform(weight, init::parameter_key(1, "", "weight"));
  CHECK(weight.requires_grad());
  CHECK(weight.is_leaf());
}

TEST_CASE("init: dirac filters pass their channels on") {
  const Tensor images = testing::random_tensor({2, 5, 4, 3}, 1, DType::float32);
  Tensor weight = Tensor::full({5, 3, 3, 3}, 7.0).set_requires_grad();
  init::dirac(weight);
  CHECK(weight.requires_grad());
  const Tensor result = conv2d(images, weight.detach(), {}, {.padding = 1});
  CHECK(compare(slice(result, 3, 0, 3), images, {0.0}).ok);
  CHECK(compare(slice(result, 3, 3, 5), Tensor::zeros({2, 5, 4, 2}), {0.0}).ok);
  // Of a part of a weight the rest stays.
  Tensor rest = Tensor::full({5, 1, 1, 3}, 7.0);
  Tensor first = rest.slice(0, 3);
  init::dirac(first);
  CHECK(rest.to_vector<float>() == std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1, 7, 7, 7, 7, 7, 7});
  Tensor even = Tensor::zeros({2, 2, 2, 2});
  CHECK_THROWS_AS(init::dirac(even), ShapeError);
}

TEST_CASE("init: whitened windows are uncorrelated and of variance 1") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    // Neighbours alike, as in pictures: sums of random numbers.
    const Tensor noise = testing::random_tensor({40, 9, 8, 3}, 2, dtype);
    const Tensor images = slice(noise, 1, 0, 8) + slice(noise, 1, 1, 9) * 0.9;
    Tensor weight = Tensor::full({24, 2, 2, 3}, 7.0).to(dtype).set_requires_grad();
    const auto moments = [&](double eps) {
      init::whitening(weight, images, eps);
      const Tensor rows =
          transpose(conv2d(images, weight.detach(), {}).reshape({-1, 24})).to(DType::float64);
      return linear(rows, rows) / static_cast<double>(rows.size(1));
    };
    Tensor wanted = Tensor::zeros({24, 24}, DType::float64);
    for (std::int64_t i = 0; i < 12; ++i) {
      wanted[i][i].fill_(1.0);
      wanted[i + 12][i + 12].fill_(1.0);
      wanted[i][i + 12].fill_(-1.0);  // the negatives
      wanted[i + 12][i].fill_(-1.0);
    }
    const auto whitened = compare(moments(1e-9), wanted, {2e-4});
    CHECK_MESSAGE(whitened.ok, whitened.message);
    // From the greatest direction on: the more eps, the less is left of the others.
    const Tensor damped = moments(1.0);
    for (std::int64_t i = 1; i < 12; ++i) {
      CHECK(damped[i][i].item() < damped[i - 1][i - 1].item());
    }
  }
  // The greatest directions alone, where there are fewer filters than directions.
  const Tensor images = testing::random_tensor({30, 6, 6, 1}, 3, DType::float32);
  Tensor few = Tensor::zeros({4, 3, 3, 1});
  Tensor all = Tensor::zeros({18, 3, 3, 1});
  init::whitening(few, images);
  init::whitening(all, images);
  CHECK(compare(few.slice(0, 2), all.slice(0, 2), {0.0}).ok);
  CHECK(compare(few.slice(2, 4), -all.slice(0, 2), {0.0}).ok);
  Tensor odd = Tensor::zeros({3, 3, 3, 1});
  CHECK_THROWS_AS(init::whitening(odd, images), ShapeError);
  Tensor many = Tensor::zeros({20, 3, 3, 1});
  CHECK_THROWS_AS(init::whitening(many, images), ShapeError);
  Tensor large = Tensor::zeros({4, 7, 7, 1});
  CHECK_THROWS_AS(init::whitening(large, images), ShapeError);
  CHECK_THROWS_AS(init::whitening(few, images, 0.0), Error);
}

TEST_CASE("init: layers start as PyTorch's do") {
  Conv2d conv({.in_channels = 32, .out_channels = 64, .kernel_size = 3, .groups = 2});
  Linear linear({.in_features = 400, .out_features = 120});
  ConvTranspose2d transposed({.in_channels = 64, .out_channels = 32, .kernel_size = 3});
  const auto check = [](const Tensor& weight, const Tensor& bias, double fan_in) {
    const double bound = 1.0 / std::sqrt(fan_in);
    for (const Tensor& tensor : {weight, bias}) {
      const Moments m = moments_of(tensor);
      CHECK(m.largest <= bound * (1.0 + 1e-6));
      CHECK(m.largest > 0.8 * bound);
      CHECK(std::abs(m.mean) < bound / 3.0);
    }
  };
  check(conv.weight, conv.bias, 16 * 9);
  check(linear.weight, linear.bias, 400);
  check(transposed.weight, transposed.bias, 32 * 9);
  CHECK_FALSE(compare(conv.bias, Tensor::zeros({64})).ok);
}

}  // namespace
}  // namespace cks
