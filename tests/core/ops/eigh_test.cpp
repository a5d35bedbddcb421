#include "cks/core/ops/eigh.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "cks/core/conv/matmul.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/rearrange.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using namespace testing;

Tensor identity(std::int64_t n) {
  Tensor matrix = Tensor::zeros({n, n}, DType::float64);
  for (std::int64_t i = 0; i < n; ++i) {
    matrix[i][i].fill_(1.0);
  }
  return matrix;
}

TEST_CASE("eigh: a matrix of which the answer is known") {
  for (const Device device : test_devices()) {
    // Eigenvalues 1 and 3 with vectors (1,-1) and (1,1), over the root of 2.
    const Tensor matrix = Tensor::from_vector<double>({2, 99, 1, 2}, {2, 2}, device);
    const auto [values, vectors] = eigh(matrix);  // the lower triangle is read
    CHECK(values.device() == device);
    CHECK(doubles(values)[0] == doctest::Approx(1.0));
    CHECK(doubles(values)[1] == doctest::Approx(3.0));
    const double half = std::sqrt(0.5);
    CHECK(std::abs(doubles(vectors)[0]) == doctest::Approx(half));
    CHECK(doubles(vectors)[0] == doctest::Approx(-doubles(vectors)[2]));
    CHECK(doubles(vectors)[1] == doctest::Approx(half));
    CHECK(doubles(vectors)[3] == doctest::Approx(half));
  }
}

TEST_CASE("eigh: V diag(L) V^T is the matrix and V orthogonal, of any size, rank and scale") {
  for (const std::int64_t n : {1, 2, 5, 12, 48}) {
    for (const double scale : {1.0, 1e-150, 1e150}) {
      for (const std::int64_t rank : {n, n / 2}) {
        CAPTURE(n);
        CAPTURE(scale);
        const Tensor half = random_tensor({n, rank}, 5);
        const Tensor matrix = linear(half, half) * scale;
        const auto [values, vectors] = eigh(matrix);
        const auto back = compare(linear(vectors * values, vectors) / scale, matrix / scale,
                                  {1e-12 * static_cast<double>(n)});
        CHECK_MESSAGE(back.ok, back.message);
        const auto orthogonal = compare(matmul(transpose(vectors), vectors), identity(n), {1e-13});
        CHECK_MESSAGE(orthogonal.ok, orthogonal.message);
        for (std::size_t i = 1; i < static_cast<std::size_t>(n); ++i) {
          CHECK(doubles(values)[i - 1] <= doubles(values)[i]);
        }
      }
    }
  }
  CHECK(doubles(eigh(identity(4)).vectors) == doubles(identity(4)));
  CHECK(doubles(eigh(Tensor::zeros({3, 3})).values) == std::vector<double>{0, 0, 0});
  CHECK(eigh(Tensor::zeros({0, 0})).values.numel() == 0);
  CHECK(eigh(Tensor::ones({2, 2})).vectors.dtype() == DType::float32);
}

TEST_CASE("eigh: refuses what is not square or not finite") {
  CHECK_THROWS_AS(eigh(Tensor::zeros({2, 3})), ShapeError);
  CHECK_THROWS_AS(eigh(Tensor::zeros({4})), ShapeError);
  CHECK_THROWS_AS(eigh(Tensor::zeros({2, 2}, DType::int64)), DtypeError);
  Tensor matrix = Tensor::zeros({2, 2});
  matrix[1][0].fill_(std::numeric_limits<double>::infinity());
  CHECK(message_of<Error>([&] { eigh(matrix); }) == "eigh: element [1,0] of the matrix is inf");
}

}  // namespace
}  // namespace cks
