#include "cks/core/ops/matmul.h"

#include <doctest/doctest.h>

#include "cks/core/autograd.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;

const Tensor kA = Tensor::from_vector<double>({1, 2, 3, 4, 5, 6}, {2, 3});
const Tensor kB = Tensor::from_vector<double>({1, 0, 2, 1, -1, 3}, {3, 2});

TEST_CASE("matmul: a product by hand") {
  const Tensor c = matmul(kA, kB);
  CHECK(c.shape() == Shape{2, 2});
  CHECK(c.to_vector<double>() == std::vector<double>{2, 11, 8, 23});
}

TEST_CASE("linear: weight is [out,in], the bias joins every row") {
  const Tensor weight = Tensor::from_vector<double>({1, 0, 2, 1, -1, 3}, {2, 3});
  const Tensor bias = Tensor::from_vector<double>({10, 20}, {2});
  CHECK(linear(kA, weight).to_vector<double>() == std::vector<double>{7, 8, 16, 17});
  CHECK(linear(kA, weight, bias).to_vector<double>() == std::vector<double>{17, 28, 26, 37});
}

TEST_CASE("matmul, linear: an inner extent of 0 gives zeros or the bias") {
  CHECK(matmul(Tensor::empty({2, 0}), Tensor::empty({0, 3})).to_vector<float>() ==
        std::vector<float>(6, 0.0F));
  CHECK(linear(Tensor::empty({2, 0}), Tensor::empty({1, 0}), Tensor::full({1}, 4.0))
            .to_vector<float>() == std::vector<float>(2, 4.0F));
}

TEST_CASE("matmul, linear: what does not fit is named") {
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
  const PrecisionScope scope(Precision::bf16);
  CHECK_THROWS_AS(matmul(kA, kB), DeviceError);
}

}  // namespace
}  // namespace cks
