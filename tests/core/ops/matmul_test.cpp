#include "cks/core/ops/matmul.h"

#include <doctest/doctest.h>

#include <utility>

#include "cks/core/autograd/autograd.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::message_of;
using testing::random_tensor;
using testing::test_devices;

const Tensor kA = Tensor::from_vector<double>({1, 2, 3, 4, 5, 6}, {2, 3});
const Tensor kB = Tensor::from_vector<double>({1, 0, 2, 1, -1, 3}, {3, 2});

TEST_CASE("matmul: a product by hand") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor c = matmul(kA.to(device), kB.to(device));
    CHECK(c.shape() == Shape{2, 2});
    CHECK(c.to_vector<double>() == std::vector<double>{2, 11, 8, 23});
  }
}

TEST_CASE("linear: weight is [out,in], the bias joins every row") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Tensor a = kA.to(device);
    const Tensor weight = Tensor::from_vector<double>({1, 0, 2, 1, -1, 3}, {2, 3}, device);
    const Tensor bias = Tensor::from_vector<double>({10, 20}, {2}, device);
    CHECK(linear(a, weight).to_vector<double>() == std::vector<double>{7, 8, 16, 17});
    CHECK(linear(a, weight, bias).to_vector<double>() == std::vector<double>{17, 28, 26, 37});
  }
}

TEST_CASE("matmul, linear: an inner extent of 0 gives zeros or the bias") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    CHECK(matmul(Tensor::empty({2, 0}, DType::float32, device),
                 Tensor::empty({0, 3}, DType::float32, device))
              .to_vector<float>() == std::vector<float>(6, 0.0F));
    CHECK(linear(Tensor::empty({2, 0}, DType::float32, device),
                 Tensor::empty({1, 0}, DType::float32, device),
                 Tensor::full({1}, 4.0, DType::float32, device))
              .to_vector<float>() == std::vector<float>(2, 4.0F));
  }
}

TEST_CASE("linear: LeNet's layers and their gradients agree with products in float64") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const auto& [in, out] : {std::pair{400, 120}, std::pair{120, 84}, std::pair{84, 10}}) {
      const auto at = [&](const Shape& shape, std::uint64_t seed) {
        return random_tensor(shape, seed, DType::float32);
      };
      const Tensor x = at({128, in}, 1);
      const Tensor weight = at({out, in}, 2);
      const Tensor bias = at({out}, 3);
      const Tensor dy = at({128, out}, 4);
      const auto run = [&](DType dtype, Device where) {
        std::vector<Tensor> leaves{x, weight, bias};
        for (Tensor& leaf : leaves) {
          leaf = leaf.to(dtype).to(where).clone().set_requires_grad();
        }
        const Tensor y = linear(leaves[0], leaves[1], leaves[2]);
        y.backward(dy.to(dtype).to(where));
        return std::vector<Tensor>{y, leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
      };
      const auto expected = run(DType::float64, Device::cpu());
      const auto got = run(DType::float32, device);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const auto result = compare(got[i], expected[i], {5e-5, 1e-6});
        CHECK_MESSAGE(result.ok, "in ", in, ", tensor ", i, ": ", result.message);
      }
    }
  }
}

TEST_CASE("matmul, linear: what does not fit is named") {
  CHECK(message_of<ShapeError>([] {
          linear(Tensor::ones({2, 5, 3}), Tensor::ones({4, 2}));
        }) == "linear: input has 3 features, weight expects 2 (input [2,5,3], weight [4,2])");
  CHECK_THROWS_AS(linear(Tensor::scalar(1.0), Tensor::ones({4, 2})), ShapeError);
  CHECK(message_of<ShapeError>([] { matmul(kA, kA); }) ==
        "matmul: a has 3 columns, b has 2 rows (a [2,3], b [2,3])");
  CHECK(message_of<ShapeError>([] { linear(kA, kB); }) ==
        "linear: input has 3 features, weight expects 2 (input [2,3], weight [3,2])");
  CHECK(message_of<ShapeError>([] {
          linear(kA, Tensor::ones({4, 3}, DType::float64), Tensor::ones({3}, DType::float64));
        }) == "linear: bias has shape [3], expected [4]");
  CHECK(message_of<ShapeError>([] { matmul(kA.reshape(Shape{6}), kB); }) ==
        "matmul: a has shape [6], expected rank 2 (rows and columns)");
  CHECK_THROWS_AS(matmul(kA, Tensor::ones({3, 2})), DtypeError);
  CHECK_THROWS_AS(matmul(Tensor::ones({2, 2}, DType::int64), Tensor::ones({2, 2}, DType::int64)),
                  DtypeError);
  const PrecisionScope scope(Precision::tf32);
  CHECK_THROWS_AS(matmul(kA, kB), DeviceError);
}

}  // namespace
}  // namespace cks
