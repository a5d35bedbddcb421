#include "cks/core/autograd/autograd.h"

#include <doctest/doctest.h>

#include <array>

#include "cks/core/autograd/no_gradient.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/profile/module_path.h"
#include "cks/kernels/common/parallel_for.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

// What users see: recording, gradients of leaves, scopes, errors. engine_test.cpp has the rest.

namespace cks {
namespace {

using testing::contains;
using testing::custom;
using testing::message_of;
using testing::multiply;
using testing::plus;
using testing::square_root;
using testing::total;

Tensor leaf(std::vector<float> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::from_vector(values, {count}).set_requires_grad();
}

std::vector<float> grad_of(const Tensor& tensor) { return tensor.grad().to_vector<float>(); }

using Values = std::vector<float>;

TEST_CASE("backward: chain, product and the same tensor used twice") {
  const Tensor x = leaf({1, 2, 3});
  const Tensor y = leaf({4, 5, 6});
  total(multiply(multiply(x, x), y)).backward();
  CHECK(grad_of(x) == Values{8, 20, 36});
  CHECK(grad_of(y) == Values{1, 4, 9});
}

TEST_CASE("backward: a diamond sums what comes from both sides") {
  const Tensor x = leaf({2});
  const Tensor a = multiply(x, x);
  const Tensor b = plus(a, multiply(a, x));  // x^2 + x^3
  b.backward();
  CHECK(grad_of(x) == Values{4 + 12});
}

TEST_CASE("backward: sums of gradients, on every device") {
  for (const Device device : testing::test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::from_vector<float>({1, 2, 3}, {3}, device).set_requires_grad();
    const Tensor a = square(x);
    sum(a * x + a + x.reshape({3, 1}).reshape({3})).backward();  // x^3 + x^2 + x
    CHECK(x.grad().device() == device);
    CHECK(grad_of(x) == Values{6, 17, 34});
    sum(x).backward();
    CHECK(grad_of(x) == Values{7, 18, 35});
    const std::vector<Tensor> asked{x};
    CHECK(gradients(sum(square(x)), asked)[0].to_vector<float>() == Values{2, 4, 6});
    const Tensor half = x.slice(1, 3);
    half.backward(Tensor::ones({2}, DType::float32, device));
    CHECK(grad_of(x) == Values{7, 19, 36});
  }
}

TEST_CASE("backward: a gradient on another device is refused") {
  if (!testing::has_gpu()) {
    return;
  }
  const Tensor x = leaf({1, 2});
  const Tensor gpu = Tensor::ones({2}, DType::float32, Device::cuda());
  CHECK_THROWS_AS(multiply(x, x).backward(gpu), DeviceError);
  const Tensor y = custom(
      {x}, [&](const Tensor&, const std::vector<bool>&) { return std::vector<Tensor>{gpu}; });
  const std::string message = message_of<DeviceError>([&] { y.backward(Tensor::ones({2})); });
  CHECK(contains(message, "custom"));
  CHECK(contains(message, "cuda:0"));
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("backward: gradients accumulate over calls and zero_grad forgets them") {
  Tensor x = leaf({3});
  multiply(x, x).backward();
  const Tensor first = x.grad();
  multiply(x, x).backward();
  CHECK(grad_of(x) == Values{12});
  CHECK(first.item() == 6);  // a handle taken earlier keeps its values
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  multiply(x, x).backward();
  CHECK(grad_of(x) == Values{6});
}

TEST_CASE("backward: two leaves never share a gradient's memory, nor one with the caller") {
  Tensor x = leaf({1, 2});
  Tensor y = leaf({3, 4});
  const Tensor start = Tensor::ones({2});
  plus(x, y).backward(start);
  CHECK(x.grad().storage() != y.grad().storage());
  CHECK(x.grad().storage() != start.storage());
  CHECK(y.grad().storage() != start.storage());
  x.grad().fill_(9);
  CHECK(grad_of(y) == Values{1, 1});
  // Views of one gradient, too.
  x.zero_grad();
  y.zero_grad();
  plus(x.reshape({2, 1}), y.reshape({2, 1})).backward(Tensor::ones({2, 1}));
  CHECK(x.grad().storage() != y.grad().storage());
  CHECK(x.grad().storage()->bytes() == 8);
  // A part of a larger tensor does not keep all of that.
  x.zero_grad();
  custom({x}, [](const Tensor&, const std::vector<bool>&) {
    return std::vector<Tensor>{Tensor::ones({1000}).slice(5, 7)};
  }).backward(start);
  CHECK(grad_of(x) == Values{1, 1});
  CHECK(x.grad().storage()->bytes() == 8);
}

TEST_CASE("backward: from a leaf itself, and through views of a leaf") {
  Tensor x = leaf({5});
  x.backward();
  x.backward();
  CHECK(grad_of(x) == Values{2});
  const Tensor y = leaf({1, 2, 3, 4});
  total(multiply(y.reshape({2, 2}).slice(1, 2), y.reshape({2, 2}).slice(0, 1))).backward();
  CHECK(grad_of(y) == Values{3, 4, 1, 2});
}

TEST_CASE("backward: what requires no gradient, undefined inputs and integers are left alone") {
  const Tensor x = leaf({1, 2});
  const Tensor constant = Tensor::ones({2});
  std::vector<bool> seen;
  const Tensor y = custom({x, constant, Tensor()},
                          [&](const Tensor& grad_output, const std::vector<bool>& needed) {
                            seen = needed;
                            return std::vector<Tensor>{grad_output, Tensor(), Tensor()};
                          });
  y.backward(Tensor::ones({2}));
  CHECK(seen == std::vector<bool>{true, false, false});
  CHECK_FALSE(constant.grad().defined());
  CHECK_FALSE(x.to(DType::int64).requires_grad());
}

TEST_CASE("recording: only with grad mode on and an input that requires a gradient") {
  const Tensor x = leaf({1});
  CHECK(multiply(x, x).requires_grad());
  CHECK_FALSE(multiply(x.detach(), x.detach()).requires_grad());
  CHECK(x.is_leaf());
  CHECK_FALSE(multiply(x, x).is_leaf());
  {
    const NoGradGuard no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(multiply(x, x).requires_grad());
    {
      const GradMode on(true);
      CHECK(multiply(x, x).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  bool recorded_inside = true;
  custom({x}, [&](const Tensor& grad_output, const std::vector<bool>&) {
    recorded_inside = multiply(x, x).requires_grad();
    return std::vector<Tensor>{grad_output};
  }).backward();
  CHECK_FALSE(recorded_inside);
}

TEST_CASE("backward: a saved tensor that changed is noticed, with operation and module") {
  Tensor x = leaf({1, 2});
  Tensor product;
  {
    const ModulePathScope path("layer1.conv1");
    product = multiply(x, x);
  }
  const Tensor loss = total(product);
  {
    const NoGradGuard no_grad;
    x.fill_(7);
    x.slice(0, 1).fill_(8);  // through a view
  }
  const std::string message = message_of<AutogradError>([&] { loss.backward(); });
  CHECK(message ==
        "multiply: a tensor of shape [2] that backward needs was written to 2 time(s) since the "
        "forward pass, in backward of module layer1.conv1");
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("backward: a tensor that nobody saved may change") {
  Tensor x = leaf({1, 2});
  const Tensor loss = total(plus(x, x));
  {
    const NoGradGuard no_grad;
    x.fill_(7);
  }
  loss.backward();
  CHECK(grad_of(x) == Values{2, 2});
}

TEST_CASE("writing in place to what requires a gradient needs NoGradGuard") {
  Tensor x = leaf({1});
  CHECK_THROWS_AS(x.fill_(0), AutogradError);
  CHECK_THROWS_AS(x.copy_(Tensor::zeros({1})), AutogradError);
  Tensor y = multiply(x, x);
  CHECK_THROWS_AS(y.zero_(), AutogradError);
  CHECK_NOTHROW(x.detach().fill_(0));
}

TEST_CASE("backward: a freed graph says so, wholly or in part") {
  const Tensor x = leaf({2});
  const Tensor square = multiply(x, x);
  const Tensor first = plus(square, square);
  const Tensor second = multiply(square, x);
  first.backward();
  CHECK(contains(message_of<AutogradError>([&] { first.backward(); }), "plus"));
  CHECK(contains(message_of<AutogradError>([&] { second.backward(); }), "multiply"));
  CHECK(grad_of(x) == Values{8});
}

TEST_CASE("backward: refuses to start where it cannot") {
  const Tensor x = leaf({1, 2});
  CHECK_THROWS_AS(total(x.detach()).backward(), AutogradError);
  CHECK_THROWS_AS(multiply(x, x).backward(), ShapeError);
  CHECK_THROWS_AS(multiply(x, x).backward(Tensor::ones({3})), ShapeError);
  CHECK_THROWS_AS(multiply(x, x).backward(Tensor::ones({2}, DType::float64)), DtypeError);
  // Double backward: gradients are off the tape, and a recorded start is refused.
  total(multiply(x, x)).backward();
  CHECK_THROWS_AS(total(x.grad()).backward(), AutogradError);
  CHECK(contains(message_of<AutogradError>([&] { multiply(x, x).backward(multiply(x, x)); }),
                 "double backward"));
}

TEST_CASE("leaves: requires_grad, grad and set_grad check what they are given") {
  Tensor x = leaf({1, 2});
  Tensor y = multiply(x, x);
  CHECK_THROWS_AS(y.set_requires_grad(), AutogradError);
  CHECK_THROWS_AS(y.grad(), AutogradError);
  CHECK_THROWS_AS(Tensor::arange(3).set_requires_grad(), DtypeError);
  CHECK_THROWS_AS(x.set_grad(Tensor::ones({3})), ShapeError);
  CHECK_THROWS_AS(x.set_grad(Tensor::ones({2}, DType::float64)), DtypeError);
  x.set_grad(Tensor::ones({2}));
  CHECK(grad_of(x) == Values{1, 1});
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
  x.set_requires_grad(false);
  CHECK_FALSE(multiply(x, x).requires_grad());
}

TEST_CASE("PrecisionScope and ModulePathScope nest; backward restores those of the forward pass") {
  const Tensor x = leaf({1});
  Precision precision = Precision::fp32;
  std::string path;
  Tensor y;
  {
    const PrecisionScope outer(Precision::bf16);
    const ModulePathScope module("a");
    {
      const PrecisionScope inner(Precision::tf32);
      const ModulePathScope inner_module("a.b");
      y = custom({x}, [&](const Tensor& grad_output, const std::vector<bool>&) {
        precision = current_precision();
        path = current_module_path();
        return std::vector<Tensor>{grad_output};
      });
    }
    CHECK(current_precision() == Precision::bf16);
    CHECK(current_module_path() == "a");
  }
  y.backward();
  CHECK(precision == Precision::tf32);
  CHECK(path == "a.b");
  CHECK(current_precision() == Precision::fp32);
  CHECK(current_module_path().empty());
}

TEST_CASE("gradients: leaves and results, without touching .grad") {
  const Tensor x = leaf({2});
  const Tensor other = leaf({5});
  const Tensor square = multiply(x, x);
  const Tensor cube = multiply(square, x);
  const std::array<Tensor, 4> inputs{x, square, other, x};
  const std::vector<Tensor> result = gradients(cube, inputs);
  CHECK(result[0].item() == 12);
  CHECK(result[1].item() == 2);
  CHECK_FALSE(result[2].defined());
  CHECK(result[3].item() == 12);
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_AS(cube.backward(), AutogradError);  // freed
  const std::array<Tensor, 1> constant{Tensor::ones({1})};
  CHECK_THROWS_AS(gradients(multiply(x, x), constant), AutogradError);
  const std::array<Tensor, 1> itself{x};
  CHECK(gradients(x, itself)[0].item() == 1);
}

TEST_CASE("gradients: work that leads to no input is left out") {
  const Tensor x = leaf({2});
  const Tensor y = leaf({3});
  int calls = 0;
  const Tensor counted = custom({y}, [&](const Tensor& grad_output, const std::vector<bool>&) {
    ++calls;
    return std::vector<Tensor>{grad_output};
  });
  const std::array<Tensor, 1> inputs{x};
  CHECK(gradients(multiply(x, counted), inputs)[0].item() == 3);
  CHECK(calls == 0);
}

TEST_CASE("an operation without a gradient refuses backward, and changes nothing") {
  const auto rounded = [](const Tensor& x) {
    return record_no_gradient("round_to_grid", x.detach().clone(), {x});
  };
  const Tensor x = leaf({1, 2});
  const Tensor beside = leaf({3, 4});
  const Tensor y = total(plus(multiply(rounded(multiply(x, x)), beside), x));
  CHECK(message_of<AutogradError>([&] { y.backward(); }) ==
        "round_to_grid: has no gradient; detach() its inputs, or call it under NoGradGuard, where "
        "none shall pass");
  CHECK(!x.grad().defined());
  CHECK(!beside.grad().defined());
  // Where no gradient is wanted of it, it is in nobody's way.
  total(multiply(rounded(x.detach()), beside)).backward();
  CHECK(grad_of(beside) == Values{1, 2});
  const NoGradGuard no_grad;
  CHECK(!rounded(x).requires_grad());
}

TEST_CASE("an operation that saves its own result keeps nothing alive") {
  const std::int64_t before = memory_stats().in_use;
  {
    const Tensor x = leaf({4, 9});
    const Tensor y = square_root(x);
    total(square_root(x)).backward();
    CHECK(grad_of(x) == Values{0.25F, 1.0F / 6.0F});
  }
  CHECK(memory_stats().in_use == before);
}

}  // namespace
}  // namespace cks
