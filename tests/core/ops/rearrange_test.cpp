#include "cks/core/ops/rearrange.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "tests/support/devices.h"
#include "tests/support/tensors.h"

// Values, dtypes, empty tensors and messages. Gradients in general are the table's
// (contract_test.cpp).

namespace cks {
namespace {

using testing::message_of;
using testing::test_devices;
using Values = std::vector<double>;

/// 0, 1, 2, ... in a shape.
Tensor counting(const Shape& shape, DType dtype = DType::float64) {
  return Tensor::arange(shape.numel()).to(dtype).reshape(shape);
}

TEST_CASE("permute moves each element to its permuted index, in every dtype") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float64, DType::int64,
                              DType::int32, DType::uint8}) {
      const Tensor x = counting({2, 3, 4, 5}, dtype).to(device);
      const Tensor y = permute(x, {2, 0, -1, 1});
      CHECK(y.shape() == Shape{4, 2, 5, 3});
      CHECK(y.dtype() == dtype);
      const Values from = testing::doubles(x);
      const Values to = testing::doubles(y);
      for (std::size_t a = 0; a < 2; ++a) {
        for (std::size_t b = 0; b < 3; ++b) {
          for (std::size_t c = 0; c < 4; ++c) {
            for (std::size_t d = 0; d < 5; ++d) {
              CHECK(to[((c * 2 + a) * 5 + d) * 3 + b] == from[((a * 3 + b) * 4 + c) * 5 + d]);
            }
          }
        }
      }
    }
    CHECK(permute(Tensor::full({}, 3, DType::float32, device), {}).item() == 3.0);
    CHECK(permute(Tensor::zeros({0, 3, 2}, DType::float32, device), {2, 0, 1}).shape() ==
          Shape{2, 0, 3});
  }
}

TEST_CASE("transpose swaps two axes, the last two by default") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(transpose(counting({2, 3}).to(device)).to_vector<double>() == Values{0, 3, 1, 4, 2, 5});
    CHECK(transpose(Tensor::zeros({2, 3, 4}, DType::float32, device), 0, -1).shape() ==
          Shape{4, 3, 2});
    CHECK(transpose(counting({2, 3}).to(device), 1, 1).to_vector<double>() ==
          Values{0, 1, 2, 3, 4, 5});
  }
}

TEST_CASE("flatten_chw orders channels first") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    // Two pixels of three channels: pixel p, channel c holds 3p + c.
    CHECK(flatten_chw(counting({1, 1, 2, 3}).to(device)).to_vector<double>() ==
          Values{0, 3, 1, 4, 2, 5});
    CHECK(flatten_chw(Tensor::zeros({0, 4, 4, 2}, DType::float32, device)).shape() == Shape{0, 32});
  }
}

TEST_CASE("upsample_nearest repeats rows and columns") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor y = upsample_nearest(counting({1, 2, 2, 1}).to(device), 2);
    CHECK(y.shape() == Shape{1, 4, 4, 1});
    CHECK(y.to_vector<double>() == Values{0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3});
    CHECK(upsample_nearest(counting({1, 1, 2, 2}, DType::uint8).to(device), 2)
              .to_vector<std::uint8_t>() ==
          std::vector<std::uint8_t>{0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1, 2, 3, 2, 3});
  }
}

TEST_CASE("concat and stack") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor a = counting({2, 2}).to(device);
    const Tensor b = Tensor::from_vector<double>({10, 11}, {2, 1}, device);
    CHECK(concat({a, b}, 1).to_vector<double>() == Values{0, 1, 10, 2, 3, 11});
    CHECK(concat({a, a}, 0).to_vector<double>() == Values{0, 1, 2, 3, 0, 1, 2, 3});
    CHECK(concat({a}, -1).to_vector<double>() == Values{0, 1, 2, 3});
    CHECK(concat({a, Tensor::zeros({2, 0}, DType::float64, device)}, 1).to_vector<double>() ==
          Values{0, 1, 2, 3});
    CHECK(stack({a, a}, 0).shape() == Shape{2, 2, 2});
    CHECK(stack({a, a}, -1).to_vector<double>() == Values{0, 0, 1, 1, 2, 2, 3, 3});
    CHECK(stack({Tensor::full({}, 1, DType::float32, device),
                 Tensor::full({}, 2, DType::float32, device)})
              .to_vector<float>() == std::vector<float>{1, 2});
  }
}

TEST_CASE("concat refuses extents whose sum is no 64-bit number") {
  const Tensor half = Tensor::zeros({0, std::int64_t{1} << 62});
  CHECK_THROWS_WITH_AS(concat({half, half}, 1),
                       "concat: the inputs have more than 2^63 - 1 rows along axis 1", ShapeError);
  CHECK_THROWS_AS(concat({half, half, half, half}, -1), ShapeError);
  CHECK(concat({half, half}, 0).shape() == half.shape());
  const Tensor less = Tensor::zeros({0, (std::int64_t{1} << 62) - 1});
  CHECK(concat({half, less}, 1).shape() == Shape{0, INT64_MAX});
}

TEST_CASE("concat sends each input its part of the gradient") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor a = counting({2, 1}).to(device).set_requires_grad();
    Tensor b = counting({2, 2}).to(device).set_requires_grad();
    concat({a, b, a}, 1).backward(counting({2, 4}).to(device));
    CHECK(a.grad().to_vector<double>() == Values{3, 11});
    CHECK(b.grad().to_vector<double>() == Values{1, 2, 5, 6});
  }
}

TEST_CASE("slice of any axis, with a step") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor x = counting({3, 4}).to(device);
    CHECK(slice(x, 1, 1, 3).to_vector<double>() == Values{1, 2, 5, 6, 9, 10});
    CHECK(slice(x, 0, 0, 3, 2).to_vector<double>() == Values{0, 1, 2, 3, 8, 9, 10, 11});
    CHECK(slice(x, -1, 1, 4, 2).to_vector<double>() == Values{1, 3, 5, 7, 9, 11});
    CHECK(slice(x, 1, 3, 4, std::numeric_limits<std::int64_t>::max()).to_vector<double>() ==
          Values{3, 7, 11});
    CHECK(slice(x, 1, 4, 4).shape() == Shape{3, 0});
    // A copy: writing to it leaves the source.
    Tensor part = slice(x, 0, 0, 1);
    part.fill_(-1.0);
    CHECK(x.to_vector<double>()[0] == 0.0);
  }
}

TEST_CASE("pad surrounds with a constant") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(pad(counting({1, 2}).to(device), {{1, 0}, {1, 2}}, 9).to_vector<double>() ==
          Values{9, 9, 9, 9, 9, 9, 0, 1, 9, 9});
    CHECK(pad(counting({2}, DType::uint8).to(device), {{0, 1}}, 255).to_vector<std::uint8_t>() ==
          std::vector<std::uint8_t>{0, 1, 255});
    CHECK(pad(Tensor::zeros({0}, DType::float64, device), {{1, 1}}, 4).to_vector<double>() ==
          Values{4, 4});
    CHECK(pad(Tensor::full({}, 3, DType::float32, device), {}).item() == 3.0);
  }
}

TEST_CASE("messages name the operation, what came and the shapes") {
  const Tensor x = Tensor::zeros({2, 3});
  const auto says = [](const std::string& message, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
      CHECK_MESSAGE(message.find(part) != std::string::npos, message, " lacks ", part);
    }
  };
  says(message_of<ShapeError>([&] { permute(x, {0}); }), {"permute", "{0}", "[2,3]"});
  says(message_of<ShapeError>([&] { permute(x, {0, 0}); }), {"permute", "{0,0}", "[2,3]"});
  says(message_of<ShapeError>([&] { permute(x, {0, 2}); }), {"permute", "{0,2}", "[2,3]"});
  says(message_of<ShapeError>([&] { permute(x, {0, 1, 1}); }), {"permute", "{0,1,1}", "[2,3]"});
  says(message_of<ShapeError>([&] { transpose(x, 0, 2); }), {"transpose", "axis 2", "[2,3]"});
  says(message_of<ShapeError>([&] { flatten_chw(x); }), {"flatten_chw", "[N,H,W,C]", "[2,3]"});
  says(message_of<ShapeError>([&] { upsample_nearest(x, 2); }), {"upsample_nearest", "[2,3]"});
  says(message_of<ShapeError>([&] {
         upsample_nearest(Tensor::zeros({1, 2, 2, 1}), 0);
       }),
       {"upsample_nearest", "scale", "0", "[1,2,2,1]"});
  says(message_of<ShapeError>([&] { concat({}, 0); }), {"concat", "no inputs"});
  says(message_of<ShapeError>([&] {
         concat({x, Tensor::zeros({3, 3})}, 1);
       }),
       {"concat", "inputs[1]", "[3,3]", "[2,3]", "axis 1"});
  says(message_of<ShapeError>([&] { concat({x, Tensor::zeros({2})}, 0); }), {"concat", "[2]"});
  says(message_of<ShapeError>([&] { concat({x, x}, 2); }), {"concat", "axis 2", "[2,3]"});
  says(message_of<DtypeError>([&] {
         concat({x, x.to(DType::float64)}, 0);
       }),
       {"concat", "inputs[1]", "float64", "float32"});
  says(message_of<ShapeError>([&] { stack({x, Tensor::zeros({2, 2})}); }), {"stack", "[2,2]"});
  says(message_of<ShapeError>([&] { slice(x, 1, 2, 4); }), {"slice", "[2,4)", "[2,3]"});
  says(message_of<ShapeError>([&] { slice(x, 1, 2, 1); }), {"slice", "[2,1)"});
  says(message_of<ShapeError>([&] { slice(x, 1, 0, 2, 0); }), {"slice", "step 0"});
  says(message_of<ShapeError>([&] { slice(x, 3, 0, 0); }), {"slice", "axis 3", "[2,3]"});
  says(message_of<ShapeError>([&] { pad(x, {{0, 1}}); }), {"pad", "1", "[2,3]"});
  says(message_of<ShapeError>([&] { pad(x, {{0, 1}, {-1, 0}}); }), {"pad", "axis 1", "-1"});
  says(message_of<DtypeError>([&] {
         pad(x.to(DType::uint8), {{0, 1}, {0, 0}}, 0.5);
       }),
       {"0.5", "uint8"});
}

}  // namespace
}  // namespace cks
