#include "cks/core/autograd/grad_check.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cks/core/autograd/autograd.h"
#include "cks/core/tensor/random.h"
#include "tests/core/test_ops.h"

namespace cks {
namespace {

using testing::contains;
using testing::custom;
using testing::map2;
using testing::message_of;
using testing::multiply;
using testing::product;

Tensor values(const Shape& shape, std::uint64_t step = 0) {
  Tensor tensor = Tensor::empty(shape, DType::float64);
  fill_uniform(tensor, 0.5, 2.0, make_random_key(1, RandomPurpose::data), step);
  return tensor;
}

/// x^2 with a gradient of factor * 2 * x, plus `offset` at an element.
Tensor wrong_square(const Tensor& x, double factor, double offset = 0.0, std::int64_t at = 3) {
  const Tensor result = product(x, x);
  return record<testing::CustomBackward>(result, {x}, [&](testing::CustomBackward& node) {
    node.function = [x = x.detach(), factor, offset, at](const Tensor& grad_output,
                                                         const std::vector<bool>&) {
      Tensor grad = map2(grad_output, x, [&](double g, double v) { return factor * g * 2 * v; });
      grad.data_as<double>()[at] += offset;
      return std::vector<Tensor>{grad};
    };
  });
}

TEST_CASE("grad_check: right gradients pass with a small error") {
  const auto function = [](const std::vector<Tensor>& x) {
    return testing::square_root(multiply(multiply(x[0], x[1]), x[0]));
  };
  const GradCheckReport report = grad_check(function, {values({3, 4}), values({3, 4}, 1)});
  CHECK(report.ok);
  CHECK(report.max_relative_error < 1e-8);
  CHECK(report.relative_errors.size() == 2);
  CHECK(report.worst_element >= 0);
  CHECK(contains(report.message, "ok"));
}

TEST_CASE("grad_check: a slightly wrong factor fails") {
  const auto report = grad_check(
      [](const std::vector<Tensor>& x) { return wrong_square(x[0], 1.00001); }, {values({6})});
  CHECK_FALSE(report.ok);
  CHECK(report.max_relative_error == doctest::Approx(1e-5).epsilon(0.05));
  CHECK(contains(report.message, "failed"));
}

TEST_CASE("grad_check: one wrong element among many is found and named") {
  for (const std::int64_t at : {0, 3, 99}) {
    CAPTURE(at);
    const auto report = grad_check(
        [&](const std::vector<Tensor>& x) {
          return wrong_square(multiply(x[0], x[1]), 1, 0.1, at);
        },
        {values({10, 10}), values({10, 10}, 1)});
    CHECK_FALSE(report.ok);
    CHECK(report.worst_element == at);
    CHECK(report.max_relative_error ==
          *std::max_element(report.relative_errors.begin(), report.relative_errors.end()));
    CHECK(report.max_relative_error > 1e-3);
    CHECK(contains(report.message, "element " + std::to_string(at) + " of"));
  }
}

TEST_CASE("grad_check: the tolerance is the greatest error that passes") {
  const auto with = [](double tolerance) {
    return grad_check([](const std::vector<Tensor>& x) { return wrong_square(x[0], 1.00001); },
                      {values({6})}, {.tolerance = tolerance});
  };
  const double error = with(1.0).max_relative_error;
  CHECK(error > 0.0);
  CHECK(with(error).ok);
  CHECK_FALSE(with(std::nextafter(error, 0.0)).ok);
}

TEST_CASE("grad_check: a missing gradient and a NaN fail") {
  auto report = grad_check(
      [](const std::vector<Tensor>& x) {
        return testing::plus(product(x[0].detach(), x[0].detach()), x[1]);  // x[0] is forgotten
      },
      {values({4}), values({4}, 1)});
  CHECK_FALSE(report.ok);
  CHECK(report.worst_input == 0);
  report = grad_check(
      [](const std::vector<Tensor>& x) {
        return wrong_square(x[0], 1, std::numeric_limits<double>::quiet_NaN());
      },
      {values({5})});
  CHECK_FALSE(report.ok);
  CHECK(std::isnan(report.max_relative_error));
  CHECK(report.worst_element == 3);
}

TEST_CASE("grad_check: an input that the result does not depend on passes") {
  const auto report = grad_check([](const std::vector<Tensor>& x) { return multiply(x[0], x[0]); },
                                 {values({4}), values({4}, 1)});
  CHECK(report.ok);
  CHECK(report.relative_errors[1] == 0.0);
}

TEST_CASE("grad_check: without an element there is no error") {
  const auto report =
      grad_check([](const std::vector<Tensor>& x) { return multiply(x[0], x[0]); }, {values({0})});
  CHECK(report.ok);
  CHECK(report.max_relative_error == 0.0);
  CHECK(report.worst_element < 0);
}

TEST_CASE("grad_check: leaves the caller's tensors alone and needs float64") {
  const Tensor x = values({4});
  const std::vector<double> before = x.to_vector<double>();
  const std::uint64_t version = x.version();
  const auto square = [](const std::vector<Tensor>& inputs) {
    return multiply(inputs[0], inputs[0]);
  };
  const NoGradGuard no_grad;  // grad_check records all the same
  CHECK(grad_check(square, {x}).ok);
  CHECK(x.to_vector<double>() == before);
  CHECK(x.version() == version);
  CHECK_FALSE(x.requires_grad());
  CHECK_THROWS_AS(grad_check(square, {x.to(DType::float32)}), DtypeError);
  CHECK_THROWS_AS(
      grad_check([](const std::vector<Tensor>& inputs) { return inputs[0].to(DType::float32); },
                 {x}),
      DtypeError);
  CHECK_THROWS_AS(grad_check(square, {}), Error);
  CHECK_THROWS_AS(grad_check(square, {x}, {.step = 0.0}), Error);
  CHECK_THROWS_AS(grad_check(square, {x}, {.floor = 0.0}), Error);
}

TEST_CASE("grad_check: a function that answers differently each time is refused") {
  int calls = 0;
  const auto function = [&](const std::vector<Tensor>& x) {
    return multiply(x[0], Tensor::full(x[0].shape(), ++calls, DType::float64));
  };
  CHECK(
      contains(message_of<Error>([&] { grad_check(function, {values({2})}); }), "another result"));
}

}  // namespace
}  // namespace cks
