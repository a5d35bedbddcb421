#include "cks/core/ops/batch_norm2d.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/device/cuda.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::compare_all;
using testing::message_of;
using testing::random_tensor;
using testing::test_devices;

struct Layer {
  Tensor weight, bias, running_mean, running_var;

  explicit Layer(Device device = {})
      : weight(Tensor::from_vector<double>({2, 1}, {2}, device)),
        bias(Tensor::from_vector<double>({0, 5}, {2}, device)),
        running_mean(Tensor::zeros({2}, DType::float64, device)),
        running_var(Tensor::ones({2}, DType::float64, device)) {}

  Tensor operator()(const Tensor& input, bool training = true,
                    const BatchNorm2dOptions& options = {}) {
    return batch_norm2d(input, weight, bias, running_mean, running_var, training, options);
  }
};

// Channel 0: 1, 3, 5, 7; mean 4, biased variance 5, unbiased 20/3. Channel 1: 0, 0, 0, 4.
const Tensor kInput = Tensor::from_vector<double>({1, 0, 3, 0, 5, 0, 7, 4}, {2, 1, 2, 2});

TEST_CASE("batch_norm2d: training by hand") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Layer layer(device);
    const Tensor y = layer(kInput.to(device), true, {.eps = 1e-12});
    const double a = std::sqrt(5.0);
    const double b = std::sqrt(3.0);
    const Tensor expected = Tensor::from_vector<double>(
        {-6 / a, 5 - 1 / b, -2 / a, 5 - 1 / b, 2 / a, 5 - 1 / b, 6 / a, 5 + 3 / b}, {2, 1, 2, 2});
    CHECK(compare(y, expected, {1e-11}).ok);
    const Tensor mean = Tensor::from_vector<double>({0.4, 0.1}, {2});
    const Tensor var = Tensor::from_vector<double>({0.9 + 2.0 / 3.0, 0.9 + 0.4}, {2});
    CHECK(compare(layer.running_mean, mean, {1e-14}).ok);
    CHECK(compare(layer.running_var, var, {1e-14}).ok);
  }
}

TEST_CASE("batch_norm2d: evaluation uses the running statistics and leaves them alone") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Layer layer(device);
    layer.running_mean.fill_(1.0);
    layer.running_var.fill_(4.0);
    const Tensor y = layer(kInput.to(device), false, {.eps = 1e-12});
    const Tensor expected =
        Tensor::from_vector<double>({0, 4.5, 2, 4.5, 4, 4.5, 6, 6.5}, {2, 1, 2, 2});
    CHECK(compare(y, expected, {1e-11}).ok);
    CHECK(layer.running_mean.to_vector<double>() == std::vector<double>{1, 1});
    CHECK(layer.running_var.to_vector<double>() == std::vector<double>{4, 4});
    layer.running_mean.set_requires_grad();  // gets none, but may ask for one
    CHECK(compare(layer(kInput.to(device), false, {.eps = 1e-12}), expected, {1e-11}).ok);
  }
}

TEST_CASE("batch_norm2d: the backward pass survives a later update of the running statistics") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Layer layer(device);
    Tensor x = kInput.to(device).clone().set_requires_grad();
    const Tensor y = layer(x, false);
    layer(kInput.to(device));  // as another batch in training would
    const std::uint64_t version = layer.running_mean.version();
    y.backward(Tensor::ones(y.shape(), DType::float64, device));
    const Tensor expected = Tensor::from_vector<double>({2, 1, 2, 1, 2, 1, 2, 1}, {2, 1, 2, 2});
    CHECK(compare(x.grad(), expected, {1e-4}).ok);
    CHECK(layer.running_mean.version() == version);
  }
}

TEST_CASE("batch_norm2d: works without parameters and without statistics, for rows of features") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor none;
    const Tensor y = batch_norm2d(random_tensor({50, 3}, 1).to(device), none, none, none, none);
    double sum = 0.0;
    double squares = 0.0;
    for (const double value : y.to_vector<double>()) {
      sum += value;
      squares += value * value;
    }
    CHECK(std::abs(sum) < 1e-12);
    CHECK(squares == doctest::Approx(150.0).epsilon(1e-3));
  }
}

TEST_CASE("batch_norm2d: every device agrees with the CPU in float64") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const std::int64_t C : {1, 3, 16, 130}) {
      const Shape shape{8, 9, 7, C};
      const auto run = [&](DType dtype, Device where) {
        const auto make = [&](const Shape& s, std::uint64_t seed) {
          return random_tensor(s, seed, DType::float32).to(dtype).to(where).clone();
        };
        Tensor x = make(shape, 1).set_requires_grad();
        Tensor weight = make({C}, 2).set_requires_grad();
        Tensor bias = make({C}, 3).set_requires_grad();
        Tensor mean = make({C}, 4);
        Tensor var = Tensor::ones({C}, dtype, where);
        const Tensor y = batch_norm2d(x, weight, bias, mean, var);
        y.backward(make(shape, 5));
        return std::vector<Tensor>{y, x.grad(), weight.grad(), bias.grad(), mean, var};
      };
      const auto expected = run(DType::float64, Device::cpu());
      const auto got = run(DType::float32, device);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const auto result = compare(got[i], expected[i], {1e-4, 1e-5});
        CHECK_MESSAGE(result.ok, "C ", C, ", tensor ", i, ": ", result.message);
      }
    }
  }
}

TEST_CASE("batch_norm2d: a refused call leaves the running statistics as they are") {
  Layer layer;
  const Tensor one = Tensor::ones({1, 1, 1, 2}, DType::float64);
  CHECK(message_of<ShapeError>([&] { layer(one); }) ==
        "batch_norm2d: training needs at least 2 values a channel, got 1 (input [1,1,1,2])");
  CHECK_THROWS_AS(layer(Tensor::ones({0, 3, 3, 2}, DType::float64)), ShapeError);
  CHECK(message_of<ShapeError>([&] {
          layer(Tensor::ones({4, 3}, DType::float64));
        }) == "batch_norm2d: weight has shape [2], expected [3]");
  CHECK_THROWS_AS(layer(kInput.to(DType::float32)), DtypeError);
  CHECK_THROWS_AS(layer(kInput, true, {.eps = 0.0}), Error);
  CHECK_THROWS_AS(layer(kInput, true, {.momentum = 1.5}), Error);
  CHECK(message_of<ShapeError>([&] { layer(kInput, true, {.num_features = 3}); }) ==
        "batch_norm2d: input has 2 channels, num_features is 3 (input [2,1,2,2])");
  CHECK_THROWS_AS(layer(kInput, true, {.affine = false}), ShapeError);
  const Tensor leaf = Tensor::ones({2}, DType::float64).set_requires_grad();
  Tensor recorded = leaf * 2.0;
  CHECK(message_of<AutogradError>([&] {
          batch_norm2d(kInput, layer.weight, layer.bias, layer.running_mean, recorded);
        }) ==
        "batch_norm2d: running_var: the tensor requires a gradient; write under NoGradGuard "
        "(shape [2])");
  CHECK(layer.running_mean.to_vector<double>() == std::vector<double>{0, 0});
  CHECK(layer.running_var.to_vector<double>() == std::vector<double>{1, 1});
  Tensor none;
  CHECK(message_of<Error>([&] { batch_norm2d(kInput, layer.weight, none, none, none); }) ==
        "batch_norm2d: weight and bias come together, but only one is defined");
  CHECK(message_of<Error>([&] { batch_norm2d(kInput, none, none, none, none, false); }) ==
        "batch_norm2d: evaluation needs running_mean and running_var");
  CHECK(layer(Tensor::ones({0, 3, 3, 2}, DType::float64), false).numel() == 0);
}

/// Result and gradients of input, weight, bias and residual.
std::vector<Tensor> outcome(bool fused, bool training, bool with_residual, double slope,
                            Device device, DType dtype) {
  const Shape shape{5, 3, 4, 8};
  const Shape channels{8};
  const DType of_channels = dtype == DType::bfloat16 ? DType::float32 : dtype;
  Tensor x = random_tensor(shape, 1, dtype).to(device).set_requires_grad();
  Tensor weight = random_tensor(channels, 2, of_channels).to(device).set_requires_grad();
  Tensor bias = random_tensor(channels, 3, of_channels).to(device).set_requires_grad();
  Tensor residual = random_tensor(shape, 4, dtype).to(device).set_requires_grad();
  Tensor mean = Tensor::full(channels, 0.1, of_channels, device);
  Tensor var = Tensor::full(channels, 0.5, of_channels, device);
  Tensor y;
  if (fused) {
    y = batch_norm2d(x, weight, bias, mean, var, training, {.negative_slope = slope},
                     with_residual ? residual : Tensor());
  } else {
    y = batch_norm2d(x, weight, bias, mean, var, training);
    y = with_residual ? y + residual : y;
    y = slope == 1.0 ? y : (slope == 0.0 ? relu(y) : leaky_relu(y, slope));
  }
  y.backward(random_tensor(shape, 5, dtype).to(device));
  return {y.detach(), x.grad(), weight.grad(), bias.grad(), residual.grad(), mean, var};
}

TEST_CASE("batch_norm2d: residual and activation are those of operations of their own") {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
      for (const bool training : {true, false}) {
        for (const bool with_residual : {true, false}) {
          for (const double slope : {0.0, 0.01, 1.0}) {
            CAPTURE(device.to_string());
            CAPTURE(name_of(dtype));
            CAPTURE(training);
            CAPTURE(with_residual);
            CAPTURE(slope);
            const auto fused = outcome(true, training, with_residual, slope, device, dtype);
            const auto single = outcome(false, training, with_residual, slope, device, dtype);
            // Of its own, each operation rounds to bfloat16.
            const double tolerance = dtype == DType::bfloat16  ? 0.06
                                     : dtype == DType::float32 ? 2e-5
                                                               : 1e-13;
            for (std::size_t i = 0; i < fused.size(); ++i) {
              CAPTURE(i);
              REQUIRE(fused[i].defined() == single[i].defined());
              if (fused[i].defined()) {
                CHECK(fused[i].dtype() == single[i].dtype());
                const auto result =
                    compare(fused[i], single[i], {.absolute = 1e300, .relative_l2 = tolerance});
                CHECK_MESSAGE(result.ok, result.message);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("batch_norm2d: gradients from several readers are those of their sum") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const double slope : {1.0, 0.1}) {
      CAPTURE(slope);
      for (const bool has_residual : {false, true}) {
        CAPTURE(has_residual);
        const auto leaf = [&](std::uint64_t seed) {
          return random_tensor({2, 3, 3, 8}, seed, DType::float64).to(device).set_requires_grad();
        };
        const Tensor factors[] = {leaf(3).detach(), leaf(4).detach(), leaf(5).detach()};
        // Gradients with `readers` of the result, or with one that reads it for all of them; also
        // of the result itself, if it is asked for.
        const auto run = [&](int readers, bool summed, bool asks) {
          const Tensor x = leaf(1);
          const Tensor residual = leaf(2);
          Tensor mean = Tensor::zeros({8}, DType::float64, device);
          Tensor var = Tensor::ones({8}, DType::float64, device);
          const Tensor y =
              batch_norm2d(x, {}, {}, mean, var, true, {.affine = false, .negative_slope = slope},
                           has_residual ? residual : Tensor());
          Tensor factor = factors[0];
          Tensor loss = sum(y * factor);
          for (int i = 1; i < readers; ++i) {
            factor = factor + factors[i];
            loss = loss + sum(y * factors[i]);
          }
          std::vector<Tensor> of;
          of.reserve(3);
          of.push_back(x);
          if (has_residual) {
            of.push_back(residual);
          }
          if (asks) {
            of.push_back(y);
          }
          return gradients(summed ? sum(y * factor) : loss, of);
        };
        for (const int readers : {2, 3}) {
          CAPTURE(readers);
          for (const bool asks : {false, true}) {
            CAPTURE(asks);
            const std::vector<Tensor> separate = run(readers, false, asks);
            const std::vector<Tensor> expected = run(readers, true, asks);
            for (std::size_t i = 0; i < expected.size(); ++i) {
              CAPTURE(i);
              const auto result = compare(separate[i], expected[i], {1e-12});
              CHECK_MESSAGE(result.ok, result.message);
            }
          }
        }
      }
    }
  }
}

TEST_CASE(
    "batch_norm2d: behind a convolution that ends in an activation, gradients stay the same") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const bool read_twice : {false, true}) {
      CAPTURE(read_twice);
      for (const double slope : {0.0, 0.1}) {
        CAPTURE(slope);
        const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
          return random_tensor(shape, seed, DType::float64).to(device).set_requires_grad();
        };
        const Tensor factor = leaf({2, 5, 5, 8}, 4).detach();
        // With the activation as the convolution's end, or as an operation of its own.
        const auto run = [&](bool ends) {
          const Tensor x = leaf({2, 5, 5, 4}, 1);
          const Tensor weight = leaf({8, 3, 3, 4}, 2);
          const Tensor bias = leaf({8}, 3);
          Tensor a = conv2d(x, weight, bias, {.padding = 1, .negative_slope = ends ? slope : 1.0});
          if (!ends) {
            a = leaky_relu(a, slope);
          }
          Tensor mean = Tensor::zeros({8}, DType::float64, device);
          Tensor var = Tensor::ones({8}, DType::float64, device);
          const Tensor y = batch_norm2d(a, {}, {}, mean, var, true, {.affine = false});
          Tensor loss = sum(y * factor);
          if (read_twice) {
            loss = loss + sum(a * factor);
          }
          return gradients(loss, std::vector<Tensor>{x, weight, bias});
        };
        const auto result = compare_all(run(true), run(false), {1e-11});
        CHECK_MESSAGE(result.ok, result.message);
      }
    }
  }
}

TEST_CASE("batch_norm2d: GELU at the end is that of an operation of its own") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const bool has_residual : {false, true}) {
      for (const bool read_twice : {false, true}) {
        CAPTURE(has_residual);
        CAPTURE(read_twice);
        const auto run = [&](bool ends) {
          const auto leaf = [&](const Shape& shape, std::uint64_t seed) {
            return random_tensor(shape, seed).to(device).set_requires_grad();
          };
          const Tensor x = leaf({3, 5, 5, 20}, 1);
          const Tensor weight = leaf({20}, 2);
          const Tensor bias = leaf({20}, 3);
          const Tensor residual = has_residual ? leaf({3, 5, 5, 20}, 4) : Tensor();
          Tensor mean = Tensor::zeros({20}, DType::float64, device);
          Tensor var = Tensor::ones({20}, DType::float64, device);
          Tensor y = batch_norm2d(x * 3.0, weight, bias, mean, var, true, {.gelu = ends}, residual);
          y = ends ? y : gelu(y);
          const Tensor factor = leaf({3, 5, 5, 20}, 5).detach();
          Tensor loss = sum(y * factor);
          if (read_twice) {
            loss = loss + sum(square(y) * factor);
          }
          std::vector<Tensor> inputs{x, weight, bias};
          if (has_residual) {
            inputs.push_back(residual);
          }
          std::vector<Tensor> all = gradients(loss, inputs);
          all.insert(all.end(), {y.detach(), mean, var});
          return all;
        };
        const auto same = compare_all(run(true), run(false), {1e-11});
        CHECK_MESSAGE(same.ok, same.message);
      }
    }
  }
}

TEST_CASE("batch_norm2d: GELU in bfloat16 is that of wider numbers, rounded") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor values = random_tensor({64, 5, 5, 16}, 1) * 6.0;
    const Tensor factor = random_tensor({64, 5, 5, 16}, 2).to(DType::bfloat16).to(DType::float64);
    // The result, and the gradient of values that bfloat16 holds.
    const auto run = [&](DType dtype, DType of_channels) {
      const Tensor x = values.to(DType::bfloat16).to(dtype).to(device).detach().set_requires_grad();
      Tensor mean = Tensor::zeros({16}, of_channels, device);
      Tensor var = Tensor::ones({16}, of_channels, device);
      const Tensor y = batch_norm2d(x, {}, {}, mean, var, false, {.affine = false, .gelu = true});
      const std::vector<Tensor> dx =
          gradients(y, std::vector<Tensor>{x}, factor.to(dtype).to(device));
      return std::vector<Tensor>{y.detach().to(DType::float64), dx[0].to(DType::float64)};
    };
    const std::vector<Tensor> wide = run(DType::float64, DType::float64);
    const std::vector<Tensor> narrow = run(DType::bfloat16, DType::float32);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      CAPTURE(i);
      const auto expected = wide[i].to(Device::cpu()).to_vector<double>();
      const auto got = narrow[i].to(Device::cpu()).to_vector<double>();
      for (std::size_t k = 0; k < expected.size(); ++k) {
        REQUIRE(std::abs(got[k] - expected[k]) <= std::abs(expected[k]) / 200 + 2e-6);
      }
    }
  }
}

TEST_CASE("batch_norm2d: sums that a convolution leaves change rounding alone") {
  for (const Device device : test_devices()) {
    for (const Precision precision : {Precision::bf16, Precision::tf32}) {
      const std::vector<Precision> known = precisions_of(device);
      if (std::find(known.begin(), known.end(), precision) == known.end()) {
        continue;
      }
      const PrecisionScope scope(precision);
      CAPTURE(device.to_string());
      CAPTURE(precision);
      for (const std::int64_t channels : {64, 128}) {  // of different kernels
        CAPTURE(channels);
        const auto on_device = [&](const Shape& shape, std::uint64_t seed) {
          return random_tensor(shape, seed, DType::float32).to(device);
        };
        const Tensor x = on_device({32, 16, 16, channels}, 1);
        const Tensor weight = on_device({channels, 3, 3, channels}, 2).set_requires_grad();
        // 0: as it is left. 1: a copy, of which nobody knows sums. 2: after a write.
        const auto statistics = [&](int how) {
          Tensor y = conv2d(x, weight, {}, {.padding = 1, .bias = false});
          if (how == 1) {
            y = y.clone();
          } else if (how == 2) {
            y.detach().fill_(3.0);
          }
          Tensor mean = Tensor::zeros({channels}, DType::float32, device);
          Tensor var = Tensor::ones({channels}, DType::float32, device);
          const Tensor result = batch_norm2d(y, {}, {}, mean, var, true, {.affine = false});
          return std::vector<Tensor>{mean, var, result.to(DType::float32)};
        };
        const std::vector<Tensor> copied = statistics(1);
        const auto same = compare_all(statistics(0), copied, {.absolute = 0.01});
        CHECK_MESSAGE(same.ok, same.message);
        const std::vector<Tensor> written = statistics(2);
        CHECK(written[0].to(Device::cpu()).to_vector<float>()[0] == doctest::Approx(0.3));
      }
    }
  }
}

TEST_CASE("batch_norm2d: what residual and slope must be") {
  const Layer layer;
  Tensor mean = layer.running_mean;
  Tensor var = layer.running_var;
  const auto call = [&](const BatchNorm2dOptions& options, const Tensor& residual) {
    batch_norm2d(kInput, layer.weight, layer.bias, mean, var, true, options, residual);
  };
  CHECK(message_of<Error>([&] { call({.negative_slope = -0.1}, {}); }) ==
        "batch_norm2d: negative_slope must lie in [0, 1], got -0.1");
  CHECK_THROWS_AS(call({.negative_slope = 1.5}, {}), Error);
  CHECK_THROWS_AS(call({.negative_slope = std::nan("")}, {}), Error);
  CHECK(message_of<Error>([&] { call({.negative_slope = 0.0, .gelu = true}, {}); }) ==
        "batch_norm2d: gelu and a negative_slope of 0 exclude each other");
  CHECK(message_of<ShapeError>([&] {
          call({}, Tensor::ones({2, 2}, DType::float64));
        }).find("residual has shape [2,2], expected [2,1,2,2]") != std::string::npos);
  CHECK_THROWS_AS(call({}, Tensor::ones({2, 1, 2, 2})), DtypeError);
  CHECK(testing::doubles(mean) == std::vector<double>{0, 0});  // as before
}

}  // namespace
}  // namespace cks
