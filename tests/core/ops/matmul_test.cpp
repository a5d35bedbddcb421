#include "cks/core/conv/matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/conv_plan.h"
#include "cks/core/device/cuda.h"
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

/// Multiples of 1/8 up to 2, whose products bfloat16 and tf32 hold and whose sums float32 holds, in
/// whatever order.
Tensor eighths(const Shape& shape, std::uint64_t seed) {
  std::vector<double> values = testing::doubles(random_tensor(shape, seed));
  for (double& value : values) {
    value = std::round(value * 16.0) / 8.0;
  }
  return Tensor::from_vector(values, shape);
}

/// The result and the gradients of all operands; `dtypes` are the operands', the last dy's.
template <class Op>
std::vector<Tensor> run_exact(const Op& op, std::vector<Tensor> operands, const Tensor& dy,
                              const std::vector<DType>& dtypes, Device device) {
  for (std::size_t i = 0; i < operands.size(); ++i) {
    operands[i] = operands[i].to(dtypes[i]).to(device).clone().set_requires_grad();
  }
  std::vector<Tensor> results = {op(operands)};
  results.front().backward(dy.to(dtypes.back()).to(device));
  for (const Tensor& operand : operands) {
    results.push_back(operand.grad());
  }
  return results;
}

/// In each precision of each device; in bf16 the first operand is an activation if it `may_be`.
template <class Op>
void check_exact(const Op& op, const std::vector<Tensor>& operands, const Tensor& dy, bool may_be) {
  const std::vector<DType> wide(operands.size() + 1, DType::float64);
  const auto expected = run_exact(op, operands, dy, wide, Device::cpu());
  for (const Device device : test_devices()) {
    for (const Precision precision : precisions_of(device)) {
      CAPTURE(device.to_string());
      CAPTURE(name_of(precision));
      const PrecisionScope scope(precision);
      std::vector<DType> dtypes(operands.size() + 1, DType::float32);
      if (precision == Precision::bf16) {
        dtypes.front() = may_be ? DType::bfloat16 : DType::float32;
        dtypes.back() = DType::bfloat16;
      }
      const auto got = run_exact(op, operands, dy, dtypes, device);
      CHECK(got.front().dtype() == dtypes.back());
      for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        CHECK(testing::doubles(got[i]) == testing::doubles(expected[i].to(got[i].dtype())));
      }
    }
  }
}

TEST_CASE("linear, matmul: exact in every precision, of any sizes") {
  struct Sizes {
    std::int64_t rows, in, out;
  };
  for (const auto& [rows, in, out] :
       {Sizes{1, 1, 1}, Sizes{5, 3, 2}, Sizes{37, 129, 65}, Sizes{128, 512, 128},
        Sizes{128, 128, 10}, Sizes{65, 864, 10}, Sizes{130, 136, 72}, Sizes{33, 1, 40},
        Sizes{3, 16, 1000}, Sizes{2, 4104, 8}, Sizes{300, 512, 256}, Sizes{257, 301, 303}}) {
    CAPTURE(rows);
    CAPTURE(in);
    CAPTURE(out);
    const Tensor x = eighths({rows, in}, 1);
    const Tensor dy = eighths({rows, out}, 4);
    const Tensor weight = eighths({out, in}, 2);
    check_exact([](const std::vector<Tensor>& t) { return linear(t[0], t[1], t[2]); },
                {x, weight, eighths({out}, 3)}, dy, true);
    check_exact([](const std::vector<Tensor>& t) { return linear(t[0], t[1]); }, {x, weight}, dy,
                false);
    check_exact([](const std::vector<Tensor>& t) { return matmul(t[0], t[1]); },
                {x, eighths({in, out}, 2)}, dy, false);
  }
}

TEST_CASE("linear: no forced convolution plan reaches it") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const ConvPlanScope forced("forward=halo,backward_data=halo,backward_filter=stem_taps");
    const Tensor x = Tensor::ones({4, 16}, DType::float32, device);
    Tensor weight = Tensor::ones({8, 16}, DType::float32, device).set_requires_grad();
    const Tensor y = linear(x, weight);
    y.backward(Tensor::ones({4, 8}, DType::float32, device));
    CHECK(testing::doubles(y) == std::vector<double>(32, 16.0));
    CHECK(testing::doubles(weight.grad()) == std::vector<double>(128, 4.0));
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
