#include "cks/core/ops/elementwise.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/compare.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

// Values, kinks and messages. Gradients in general are the table's (contract_test.cpp).

namespace cks {
namespace {

using testing::message_of;
using testing::test_devices;
using Values = std::vector<double>;

Tensor tensor(const Values& values, Device device = {}) {
  return Tensor::from_vector(values, {static_cast<std::int64_t>(values.size())}, device);
}

Tensor leaf(const Values& values, Device device = {}) {
  return tensor(values, device).set_requires_grad();
}

/// Equal up to a few roundings: devices differ in the last bits of transcendental functions.
bool near(const Tensor& got, const Values& expected) {
  return testing::compare(testing::doubles(got), expected, {1e-15 * 8}).ok;
}

/// Gradient of sum(function(x)), with a gradient of 1 for each element.
template <class Function>
Values gradient(const Tensor& x, Function&& function) {
  const Tensor y = function(x);
  y.backward(Tensor::ones(y.shape(), y.dtype(), y.device()));
  return x.grad().template to_vector<double>();
}

TEST_CASE("arithmetic with tensors and numbers") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor a = tensor({1, 2, -3}, device);
    const Tensor b = tensor({4, -5, 8}, device);
    CHECK((a + b).to_vector<double>() == Values{5, -3, 5});
    CHECK((a - b).to_vector<double>() == Values{-3, 7, -11});
    CHECK((a * b).to_vector<double>() == Values{4, -10, -24});
    CHECK((a / b).to_vector<double>() == Values{0.25, -0.4, -0.375});
    CHECK((-a).to_vector<double>() == Values{-1, -2, 3});
    CHECK((a + 1.0).to_vector<double>() == Values{2, 3, -2});
    CHECK((a - 1.0).to_vector<double>() == Values{0, 1, -4});
    CHECK((a * 2.0).to_vector<double>() == Values{2, 4, -6});
    CHECK((a / 2.0).to_vector<double>() == Values{0.5, 1, -1.5});
    CHECK((1.0 + a).to_vector<double>() == Values{2, 3, -2});
    CHECK((1.0 - a).to_vector<double>() == Values{0, -1, 4});
    CHECK((2.0 * a).to_vector<double>() == Values{2, 4, -6});
    CHECK((6.0 / a).to_vector<double>() == Values{6, 3, -2});
  }
}

TEST_CASE("broadcasting in both directions, with gradients summed back") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor column = Tensor::from_vector<double>({1, 2}, {2, 1}, device).set_requires_grad();
    const Tensor row = leaf({10, 20, 30}, device);
    const Tensor y = column * row;
    CHECK(y.shape() == Shape{2, 3});
    CHECK(y.to_vector<double>() == Values{10, 20, 30, 20, 40, 60});
    y.backward(Tensor::ones({2, 3}, DType::float64, device));
    CHECK(column.grad().shape() == Shape{2, 1});
    CHECK(column.grad().to_vector<double>() == Values{60, 60});
    CHECK(row.grad().to_vector<double>() == Values{3, 3, 3});
  }
}

TEST_CASE("a tensor used twice collects both gradients") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = leaf({3, -2}, device);
    CHECK(gradient(x, [](const Tensor& t) { return t * t + t; }) == Values{7, -3});
  }
}

TEST_CASE("functions of one tensor") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(abs(tensor({-2, 0, 3}, device)).to_vector<double>() == Values{2, 0, 3});
    CHECK(square(tensor({-2, 3}, device)).to_vector<double>() == Values{4, 9});
    CHECK(sqrt(tensor({4, 9}, device)).to_vector<double>() == Values{2, 3});
    CHECK(near(pow(tensor({2, 4}, device), 3.0), {8, 64}));
    CHECK(near(exp(tensor({0, 1}, device)), {1, std::exp(1.0)}));
    CHECK(near(log(tensor({1, 8}, device)), {0, std::log(8.0)}));
    CHECK(clamp(tensor({-2, 0.5, 7}, device), -1, 1).to_vector<double>() == Values{-1, 0.5, 1});
    CHECK(relu(tensor({-2, 0, 3}, device)).to_vector<double>() == Values{0, 0, 3});
    CHECK(leaky_relu(tensor({-2, 0, 3}, device), 0.5).to_vector<double>() == Values{-1, 0, 3});
    CHECK(leaky_relu(tensor({-2}, device)).to_vector<double>() == Values{-0.02});
    CHECK(sigmoid(tensor({0}, device)).item() == 0.5);
    CHECK(near(tanh(tensor({0.5}, device)), {std::tanh(0.5)}));
    // Phi(1) = 0.8413447460685429, from tables.
    CHECK(near(gelu(tensor({-1, 0, 1}, device)), {-0.15865525393145707, 0, 0.8413447460685429}));
  }
}

TEST_CASE("gradients where a function has a kink") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(gradient(leaf({0}, device), [](const Tensor& x) { return abs(x); }) == Values{0});
    CHECK(gradient(leaf({0}, device), [](const Tensor& x) { return relu(x); }) == Values{0});
    CHECK(gradient(leaf({0}, device), [](const Tensor& x) { return leaky_relu(x, 0.25); }) ==
          Values{0.25});
    CHECK(gradient(leaf({-1, 0, 2, 3}, device), [](const Tensor& x) { return clamp(x, -1, 2); }) ==
          Values{1, 1, 1, 0});
    CHECK(gradient(leaf({1, 2, 3}, device), [&](const Tensor& x) {
            return maximum(x, tensor({2, 2, 2}, device));
          }) == Values{0, 0.5, 1});
    CHECK(gradient(leaf({1, 2, 3}, device), [&](const Tensor& x) {
            return minimum(tensor({2, 2, 2}, device), x);
          }) == Values{1, 0.5, 0});
  }
}

TEST_CASE("NaN goes through") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const double nan = std::nan("");
    const Tensor x = tensor({nan}, device);
    CHECK(std::isnan(relu(x).item()));
    CHECK(std::isnan(leaky_relu(x).item()));
    CHECK(std::isnan(gelu(x).item()));
    CHECK(std::isnan(clamp(x, 0, 1).item()));
    CHECK(std::isnan(maximum(x, tensor({1}, device)).item()));
    CHECK(std::isnan(maximum(tensor({1}, device), x).item()));
    CHECK(std::isnan(minimum(x, tensor({1}, device)).item()));
  }
}

TEST_CASE("where chooses and sends the gradient only to what it chose") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor condition = Tensor::from_vector<std::uint8_t>({1, 0, 2}, {3}, device);
    const Tensor a = leaf({1, 2, 3}, device);
    const Tensor b = leaf({7}, device);
    const Tensor y = where(condition, a, b);
    CHECK(y.to_vector<double>() == Values{1, 7, 3});
    y.backward(tensor({10, std::nan(""), 30}, device));
    CHECK(a.grad().to_vector<double>() == Values{10, 0, 30});
    CHECK(std::isnan(b.grad().item()));
    const Tensor labels = Tensor::from_vector<std::int64_t>({5, 6, 7}, {3}, device);
    CHECK(where(condition, labels, Tensor::zeros({}, DType::int64, device))
              .to_vector<std::int64_t>() == std::vector<std::int64_t>{5, 0, 7});
  }
}

TEST_CASE("comparisons") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor a = tensor({1, 2, 3}, device);
    using Flags = std::vector<std::uint8_t>;
    CHECK(equal(a, tensor({1, 3, 3}, device)).to_vector<std::uint8_t>() == Flags{1, 0, 1});
    CHECK(not_equal(a, 2.0).to_vector<std::uint8_t>() == Flags{1, 0, 1});
    CHECK(less(a, 2.0).to_vector<std::uint8_t>() == Flags{1, 0, 0});
    CHECK(less_equal(a, 2.0).to_vector<std::uint8_t>() == Flags{1, 1, 0});
    CHECK(greater(a, 2.0).to_vector<std::uint8_t>() == Flags{0, 0, 1});
    CHECK(greater_equal(a, 2.0).to_vector<std::uint8_t>() == Flags{0, 1, 1});
    CHECK(greater(a, tensor({0, 2, 4}, device)).to_vector<std::uint8_t>() == Flags{1, 0, 0});
    CHECK(less(a, tensor({2}, device)).to_vector<std::uint8_t>() == Flags{1, 0, 0});
    CHECK(less_equal(a, tensor({2}, device)).to_vector<std::uint8_t>() == Flags{1, 1, 0});
    CHECK(greater_equal(a, tensor({2}, device)).to_vector<std::uint8_t>() == Flags{0, 1, 1});
    CHECK(not_equal(a, tensor({2}, device)).to_vector<std::uint8_t>() == Flags{1, 0, 1});
    CHECK(equal(a, std::nan("")).to_vector<std::uint8_t>() == Flags{0, 0, 0});
    const Tensor labels = Tensor::from_vector<std::int64_t>({4, 5}, {2}, device);
    CHECK(equal(labels, 5).to_vector<std::uint8_t>() == Flags{0, 1});
    CHECK(!greater(leaf({1}, device), 0.0).requires_grad());
  }
}

TEST_CASE("messages name the operation, the arguments and the shapes") {
  const Tensor a = Tensor::zeros({2, 3});
  const Tensor b = Tensor::zeros({2, 2});
  const auto says = [](const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      CHECK_MESSAGE(message.find(part) != std::string::npos, message, " lacks ", part);
    }
  };
  says(message_of<ShapeError>([&] { a + b; }), {"add", "[2,3]", "[2,2]"});
  says(message_of<ShapeError>([&] { maximum(a, b); }), {"maximum", "[2,3]", "[2,2]"});
  says(message_of<ShapeError>([&] { less(a, b); }), {"less", "[2,3]", "[2,2]"});
  says(message_of<DtypeError>([&] { a* a.to(DType::float64); }), {"mul", "float32", "float64"});
  says(message_of<DtypeError>([&] { exp(a.to(DType::int32)); }), {"exp", "int32", "[2,3]"});
  says(message_of<DtypeError>([&] { a.to(DType::int64) + a.to(DType::int64); }), {"add", "int64"});
  says(message_of<DtypeError>([&] { where(a, a, a); }), {"where", "condition", "uint8"});
  says(message_of<DtypeError>([&] { equal(a.to(DType::uint8), 0.5); }), {"equal", "0.5", "uint8"});
  says(message_of<Error>([&] { clamp(a, 1, 0); }), {"clamp", "low", "high"});
  says(message_of<Error>([&] { clamp(a, std::nan(""), 0); }), {"clamp"});
  says(message_of<Error>([&] { a / Tensor(); }), {"div", "b is undefined"});
}

TEST_CASE("a second use of a freed tape throws") {
  const Tensor x = leaf({1, 2});
  const Tensor y = exp(x);
  y.backward(Tensor::ones({2}, DType::float64));
  CHECK_THROWS_AS(y.backward(Tensor::ones({2}, DType::float64)), AutogradError);
}

TEST_CASE("+= off the tape writes into the tensor's own memory") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = tensor({1, 2, 3}, device);
    const Tensor other_handle = x;
    const Tensor view = x.slice(1, 3);
    const std::uint64_t version = x.version();
    x += tensor({1, 1, 1}, device);
    x *= 2.0;
    x -= tensor({1}, device);  // broadcast
    x /= tensor({1, 5, 7}, device);
    CHECK(x.version() == version + 4);
    CHECK(near(x, {3, 1, 1}));
    CHECK(near(view, {1, 1}));
    CHECK(near(other_handle, {3, 1, 1}));

    Tensor row = view[0];
    row -= 1.0;
    CHECK(near(x, {3, 0, 1}));
    x += x;
    CHECK(near(x, {6, 0, 2}));
  }
}

TEST_CASE("+= on the tape makes the tensor the result, for all its handles") {
  Tensor a = leaf({1, 2});
  Tensor sum = Tensor::zeros({2}, DType::float64);
  const Tensor before = sum.detach();
  const Tensor other_handle = sum;
  sum += a;
  sum += a * a;
  CHECK(near(before, {0, 0}));
  CHECK(near(other_handle, {2, 6}));
  CHECK(other_handle.requires_grad());
  other_handle.backward(Tensor::ones({2}, DType::float64));
  CHECK(near(a.grad(), {3, 5}));

  // What backward needs stays.
  Tensor y = exp(a);
  y *= a;
  y.backward(Tensor::ones({2}, DType::float64));
  CHECK(near(a.grad(), {3 + 2 * std::exp(1.0), 5 + 3 * std::exp(2.0)}));

  const NoGradGuard no_grad;
  a -= a.grad() * 0.0 + 1.0;
  CHECK(near(a, {0, 1}));
  CHECK(a.requires_grad());
  CHECK(a.grad().defined());
}

TEST_CASE("+= refuses what it cannot do, and changes nothing") {
  Tensor a = leaf({1, 2});
  CHECK(message_of<AutogradError>([&] { a += 1.0; }) ==
        "+=: the tensor is a leaf that requires a gradient; write under NoGradGuard, or make a new "
        "tensor (shape [2])");
  Tensor product = a * 2.0;
  Tensor part = product.slice(0, 1);
  CHECK(message_of<AutogradError>([&] { part *= 2.0; }) ==
        "*=: the tensor is a part of another one, which would not change with it; make a new "
        "tensor (shape [1])");
  Tensor one = tensor({5});
  CHECK(message_of<ShapeError>([&] { one -= a.detach(); }) ==
        "-=: the result has shape [2], the tensor [1]");
  CHECK(near(one, {5}));
  CHECK_THROWS_AS(one /= Tensor::ones({1}), DtypeError);
  Tensor undefined;
  CHECK_THROWS_AS(undefined += 1.0, Error);
}

}  // namespace
TEST_CASE("+=: a slice of all of a tensor is a part of it all the same") {
  const Tensor x = Tensor::zeros({1, 4});
  Tensor w = Tensor::ones({4});
  w.set_requires_grad();
  Tensor row = x[0];
  CHECK_THROWS_AS(row += w, AutogradError);
  Tensor reshaped = x[0].reshape({2, 2});
  CHECK_THROWS_AS(reshaped += w.reshape({2, 2}), AutogradError);
  Tensor off_tape = x[0];
  off_tape += Tensor::ones({4});
  CHECK(x.to_vector<float>() == std::vector<float>{1, 1, 1, 1});
}

TEST_CASE("+ and -: an undefined argument is named") {
  const Tensor x = Tensor::ones({1});
  CHECK(message_of<Error>([&] { x + Tensor(); }).starts_with("add: b is undefined"));
  CHECK(message_of<Error>([&] { x - Tensor(); }).starts_with("sub: b is undefined"));
}

}  // namespace cks
