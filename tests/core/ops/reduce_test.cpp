#include "cks/core/ops/reduce.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/rearrange.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

// Values against naive loops, ties, empty tensors and messages. Gradients in general are the
// table's (contract_test.cpp).

namespace cks {
namespace {

using testing::compare;
using testing::doubles;
using testing::message_of;
using testing::random_tensor;
using testing::test_devices;
using Values = std::vector<double>;

bool contains(const std::vector<int>& axes, int axis, int rank) {
  for (const int each : axes) {
    if ((each < 0 ? each + rank : each) == axis) {
      return true;
    }
  }
  return false;
}

struct Naive {
  Shape shape;
  Values sums, greatest;
};

Naive reduce_naively(const Tensor& x, const std::vector<int>& axes, bool keepdim) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!contains(axes, axis, x.rank())) {
      extents.push_back(x.size(axis));
    } else if (keepdim) {
      extents.push_back(1);
    }
  }
  Naive naive;
  naive.shape = Shape(extents);
  const auto count = static_cast<std::size_t>(naive.shape.numel());
  naive.sums.assign(count, 0.0);
  naive.greatest.assign(count, -std::numeric_limits<double>::infinity());
  const Values values = doubles(x);
  for (std::size_t flat = 0; flat < values.size(); ++flat) {
    auto rest = static_cast<std::int64_t>(flat);
    std::int64_t at = 0;
    std::int64_t step = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      if (!contains(axes, axis, x.rank())) {
        at += rest % x.size(axis) * step;
        step *= x.size(axis);
      }
      rest /= x.size(axis);
    }
    naive.sums[static_cast<std::size_t>(at)] += values[flat];
    naive.greatest[static_cast<std::size_t>(at)] =
        std::max(naive.greatest[static_cast<std::size_t>(at)], values[flat]);
  }
  return naive;
}

TEST_CASE("sums over axes that are no neighbours round once, at their end") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor big = Tensor::full({2, 3, 2}, 2e38, DType::float32, device);
    CHECK(mean(big).item() == static_cast<double>(2e38F));
    CHECK(mean(big, {0, 2}).to_vector<float>() == std::vector<float>(3, 2e38F));
    // Three groups of axes; in float32, 1e8 + 1 is 1e8.
    const std::vector<float> terms = {1e8F, 1, -1e8F, 0};
    const Tensor cancel = Tensor::from_vector(terms, {2, 1, 2}, device);
    CHECK(sum(cancel, {0, 2}).item() == 1.0);
    CHECK(sum(cancel.reshape({2, 1, 2, 1, 1}), {0, 2, 4}).item() == 1.0);

    Tensor scale = Tensor::zeros({1, 1, 1}, DType::float32, device).set_requires_grad();
    (scale + Tensor::zeros({2, 1, 2}, DType::float32, device)).backward(cancel);
    CHECK(scale.grad().item() == 1.0);
    Tensor row = Tensor::zeros({1, 2, 1}, DType::float32, device).set_requires_grad();
    (row * Tensor::ones({2, 2, 2}, DType::float32, device)).backward(concat({cancel, cancel}, 1));
    CHECK(row.grad().to_vector<float>() == std::vector<float>{1.0F, 1.0F});
  }
}

TEST_CASE("sum, mean and max over every set of axes") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = random_tensor({3, 2, 5, 4}, 1).to(device);
    for (unsigned set = 0; set < 16; ++set) {
      std::vector<int> axes;
      for (int axis = 0; axis < 4; ++axis) {
        if (((set >> axis) & 1U) != 0) {
          axes.insert(axes.begin(), axis % 2 == 0 ? axis : axis - 4);
        }
      }
      for (const bool keepdim : {false, true}) {
        CAPTURE(set);
        CAPTURE(keepdim);
        const Naive naive = reduce_naively(x, axes, keepdim);
        const auto extents = naive.shape.to_vector();
        const auto check = [&](const Tensor& got, const Values& expected) {
          const auto result =
              compare(doubles(got), got.shape().to_vector(), expected, extents, {1e-13});
          CHECK_MESSAGE(result.ok, result.message);
        };
        check(sum(x, axes, keepdim), naive.sums);
        check(max(x, axes, keepdim), naive.greatest);
        Values means = naive.sums;
        for (double& value : means) {
          value *= static_cast<double>(naive.shape.numel()) / static_cast<double>(x.numel());
        }
        check(mean(x, axes, keepdim), means);
      }
    }
    CHECK(sum(x).shape() == Shape{});
    CHECK(sum(x).item() == doctest::Approx(sum(x, {0, 1, 2, 3}).item()));
    CHECK(mean(x).item() == doctest::Approx(sum(x).item() / 120.0));
    CHECK(max(x).item() == max(x, {0, 1, 2, 3}).item());
  }
}

TEST_CASE("rank 0 and empty tensors") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(sum(Tensor::full({}, 3.0, DType::float32, device)).item() == 3.0);
    CHECK(mean(Tensor::full({}, 3.0, DType::float32, device)).item() == 3.0);
    CHECK(max(Tensor::full({}, 3.0, DType::float32, device)).item() == 3.0);
    const Tensor empty = Tensor::zeros({0, 3}, DType::float32, device);
    CHECK(sum(empty).item() == 0.0);
    CHECK(std::isnan(mean(empty).item()));
    CHECK(sum(empty, {0}).to_vector<float>() == std::vector<float>{0, 0, 0});
    CHECK(sum(empty, {1}).shape() == Shape{0});
    CHECK(max(empty, {1}).shape() == Shape{0});
    CHECK(argmax(empty, 1).shape() == Shape{0});
    CHECK_THROWS_AS(max(empty), ShapeError);
    CHECK_THROWS_AS(max(empty, {0}), ShapeError);
    CHECK_THROWS_AS(argmax(empty, 0), ShapeError);
  }
}

TEST_CASE("equal greatest elements share the gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::from_vector<double>({1, 3, 3, 3, 5, 2}, {2, 3}, device);
    x.set_requires_grad();
    max(x, {1}).backward(Tensor::from_vector<double>({6, 7}, {2}, device));
    CHECK(x.grad().to_vector<double>() == Values{0, 3, 3, 0, 7, 0});
    // All ties count, whichever axes they lie on.
    Tensor flat = Tensor::ones({2, 3, 2}, DType::float64, device).set_requires_grad();
    max(flat, {0, 2}).backward(Tensor::full({3}, 8.0, DType::float64, device));
    CHECK(flat.grad().to_vector<double>() == Values(12, 2.0));
  }
}

TEST_CASE("NaN is the greatest and takes the gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::from_vector<double>({1, std::nan(""), 3}, {3}, device);
    x.set_requires_grad();
    const Tensor y = max(x);
    CHECK(std::isnan(y.item()));
    y.backward();
    CHECK(x.grad().to_vector<double>() == Values{0, 1, 0});
    CHECK(argmax(x).item() == 1);
  }
}

TEST_CASE("argmax is the first greatest") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = Tensor::from_vector<float>({1, 7, 7, 9, 2, 9}, {2, 3}, device);
    using Indices = std::vector<std::int64_t>;
    CHECK(argmax(x).to_vector<std::int64_t>() == Indices{1, 0});
    CHECK(argmax(x, 0).to_vector<std::int64_t>() == Indices{1, 0, 1});
    CHECK(argmax(x, 0, true).shape() == Shape{1, 3});
    CHECK(argmax(x, -2).shape() == Shape{3});
    CHECK(!argmax(random_tensor({2, 3}, 1).to(device).set_requires_grad()).requires_grad());
  }
}

TEST_CASE("sum_to undoes broadcasting") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = random_tensor({2, 3, 4}, 1).to(device);
    CHECK(is_same(ops::sum_to(x, x.shape()), x));
    CHECK(compare(ops::sum_to(x, {4}), sum(x, {0, 1}), {1e-14}).ok);
    CHECK(compare(ops::sum_to(x, {3, 1}), sum(x, {0, 2}).reshape({3, 1}), {1e-14}).ok);
    CHECK(compare(ops::sum_to(x, {1, 3, 1}), sum(x, {0, 2}, true), {1e-14}).ok);
    CHECK(compare(ops::sum_to(x, {}), sum(x), {1e-14}).ok);
    CHECK(ops::sum_to(Tensor::ones({1, 3}, DType::float32, device), {3}).shape() == Shape{3});
    CHECK(ops::sum_to(Tensor::ones({0, 3}, DType::float32, device), {1, 3}).to_vector<float>() ==
          std::vector<float>{0, 0, 0});
  }
}

TEST_CASE("float32 sums are accumulated in float64") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = Tensor::full({1000000}, 0.1, DType::float32, device);
    CHECK(sum(x).item() ==
          static_cast<double>(static_cast<float>(1e6 * static_cast<double>(0.1F))));
  }
}

TEST_CASE("messages name the operation, the axis and the shape") {
  const Tensor x = Tensor::zeros({2, 3});
  const auto says = [](const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      CHECK_MESSAGE(message.find(part) != std::string::npos, message, " lacks ", part);
    }
  };
  says(message_of<ShapeError>([&] { sum(x, {2}); }), {"sum", "axis 2", "[2,3]"});
  says(message_of<ShapeError>([&] { mean(x, {-3}); }), {"mean", "axis -3", "[2,3]"});
  says(message_of<ShapeError>([&] { max(x, {1, -1}); }), {"max", "twice", "[2,3]"});
  says(message_of<ShapeError>([&] { argmax(x, 5); }), {"argmax", "axis 5", "[2,3]"});
  says(message_of<ShapeError>([&] { argmax(Tensor::scalar(1)); }), {"argmax", "axis -1", "[]"});
  says(message_of<DtypeError>([&] { sum(x.to(DType::int64)); }), {"sum", "int64", "float32"});
  says(message_of<DtypeError>([&] { argmax(x.to(DType::uint8)); }), {"argmax", "uint8"});
}

}  // namespace
}  // namespace cks
