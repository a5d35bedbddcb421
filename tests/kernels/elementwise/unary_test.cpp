#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "cks/kernels/elementwise/elementwise.h"
#include "tests/support/compare.h"
#include "tests/support/run_kernel.h"

namespace cks::kernels {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

struct UnaryCase {
  UnaryOp op;
  UnaryParameters parameters;
  double low, high;         // where it is tried
  double (*value)(double);  // independent of the kernels
  double (*derivative)(double);
};

double normal_distribution(double x) { return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)); }
double normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

const std::vector<UnaryCase>& cases() {
  static const std::vector<UnaryCase> list = {
      {UnaryOp::neg, {}, -2, 2, [](double x) { return -x; }, [](double) { return -1.0; }},
      {UnaryOp::abs,
       {},
       -2,
       2,
       [](double x) { return std::fabs(x); },
       [](double x) { return std::copysign(1.0, x); }},
      {UnaryOp::square, {}, -2, 2, [](double x) { return x * x; }, [](double x) { return 2 * x; }},
      {UnaryOp::exp,
       {},
       -3,
       3,
       [](double x) { return std::exp(x); },
       [](double x) { return std::exp(x); }},
      {UnaryOp::log,
       {},
       0.1,
       5,
       [](double x) { return std::log(x); },
       [](double x) { return 1 / x; }},
      {UnaryOp::sqrt,
       {},
       0.1,
       5,
       [](double x) { return std::sqrt(x); },
       [](double x) { return 0.5 / std::sqrt(x); }},
      {UnaryOp::pow,
       {2.5},
       0.1,
       3,
       [](double x) { return std::pow(x, 2.5); },
       [](double x) { return 2.5 * std::pow(x, 1.5); }},
      {UnaryOp::pow,
       {3.0},
       -2,
       2,
       [](double x) { return x * x * x; },
       [](double x) { return 3 * x * x; }},
      {UnaryOp::clamp,
       {-0.5, 0.75},
       -2,
       2,
       [](double x) { return std::fmin(std::fmax(x, -0.5), 0.75); },
       [](double x) { return x > -0.5 && x < 0.75 ? 1.0 : 0.0; }},
      {UnaryOp::relu,
       {},
       -2,
       2,
       [](double x) { return std::fmax(x, 0.0); },
       [](double x) { return x > 0 ? 1.0 : 0.0; }},
      {UnaryOp::leaky_relu,
       {0.25},
       -2,
       2,
       [](double x) { return x > 0 ? x : 0.25 * x; },
       [](double x) { return x > 0 ? 1.0 : 0.25; }},
      {UnaryOp::sigmoid,
       {},
       -4,
       4,
       [](double x) { return 0.5 * (1 + std::tanh(x / 2)); },
       [](double x) { return 0.25 / (std::cosh(x / 2) * std::cosh(x / 2)); }},
      {UnaryOp::tanh,
       {},
       -3,
       3,
       [](double x) { return std::tanh(x); },
       [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }},
      {UnaryOp::gelu,
       {},
       -4,
       4,
       [](double x) { return x * normal_distribution(x); },
       [](double x) { return normal_distribution(x) + x * normal_density(x); }},
      {UnaryOp::add_scalar,
       {1.5},
       -2,
       2,
       [](double x) { return x + 1.5; },
       [](double) { return 1.0; }},
      {UnaryOp::mul_scalar,
       {-1.5},
       -2,
       2,
       [](double x) { return x * -1.5; },
       [](double) { return -1.5; }},
      {UnaryOp::div_scalar,
       {-4.0},
       -2,
       2,
       [](double x) { return x / -4; },
       [](double) { return -0.25; }},
      {UnaryOp::subtract_from,
       {0.5},
       -2,
       2,
       [](double x) { return 0.5 - x; },
       [](double) { return -1.0; }},
      {UnaryOp::divide_into,
       {1.5},
       0.2,
       3,
       [](double x) { return 1.5 / x; },
       [](double x) { return -1.5 / (x * x); }},
  };
  return list;
}

// Rounding of a few operations whose values stay below 100 here.
template <class T>
double tolerance() {
  return 400.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

TEST_CASE_TEMPLATE("unary: values and gradients", T, float, double) {
  for (const UnaryCase& c : cases()) {
    for (const std::int64_t count : {0, 1, 7, 16384, 40007}) {
      CAPTURE(std::string(name_of(c.op)));
      CAPTURE(count);
      const auto x = random_values<T>(count, 3, c.low, c.high);
      const auto dy = random_values<T>(count, 4);
      std::vector<double> expected;
      std::vector<double> expected_grad;
      for (std::size_t i = 0; i < x.size(); ++i) {
        expected.push_back(c.value(static_cast<double>(x[i])));
        expected_grad.push_back(static_cast<double>(dy[i]) *
                                c.derivative(static_cast<double>(x[i])));
      }
      const auto y = run_kernel<T>(count, [&](T* out) {
        target::unary_forward(c.op, dtype_of<T>(), count, on_device(x), out, c.parameters);
      });
      const auto forward = compare(y, expected, {tolerance<T>()});
      CHECK_MESSAGE(forward.ok, forward.message);

      const std::vector<T>& saved = unary_saves(c.op) == UnarySaves::input ? x : y;
      const auto dx = run_kernel<T>(count, [&](T* out) {
        if (unary_saves(c.op) == UnarySaves::nothing) {
          target::unary_backward(c.op, dtype_of<T>(), count, on_device(dy), nullptr, out,
                                 c.parameters);
        } else {
          target::unary_backward(c.op, dtype_of<T>(), count, on_device(dy), on_device(saved), out,
                                 c.parameters);
        }
      });
      const auto backward = compare(dx, expected_grad, {tolerance<T>()});
      CHECK_MESSAGE(backward.ok, backward.message);
    }
  }
}

double value_at(UnaryOp op, double x, UnaryParameters parameters = {}) {
  return run_kernel<double>(1, [&](double* y) {
    target::unary_forward(op, DType::float64, 1, on_device(std::vector{x}), y, parameters);
  })[0];
}

double gradient_at(UnaryOp op, double saved, UnaryParameters parameters = {}, double dy = 3.0) {
  return run_kernel<double>(1, [&](double* dx) {
    target::unary_backward(op, DType::float64, 1, on_device(std::vector{dy}),
                           on_device(std::vector{saved}), dx, parameters);
  })[0];
}

TEST_CASE("unary: gradients at kinks") {
  CHECK(gradient_at(UnaryOp::abs, 0.0) == 0.0);
  CHECK(gradient_at(UnaryOp::relu, 0.0) == 0.0);
  CHECK(gradient_at(UnaryOp::leaky_relu, 0.0, {0.25}) == 0.75);
  CHECK(gradient_at(UnaryOp::clamp, -1.0, {-1.0, 2.0}) == 3.0);
  CHECK(gradient_at(UnaryOp::clamp, 2.0, {-1.0, 2.0}) == 3.0);
  CHECK(gradient_at(UnaryOp::clamp, 2.5, {-1.0, 2.0}) == 0.0);
  CHECK(gradient_at(UnaryOp::pow, 0.0, {0.0}) == 0.0);
  CHECK(gradient_at(UnaryOp::pow, 0.0, {1.0}) == 3.0);
  CHECK(gradient_at(UnaryOp::pow, 0.0, {2.0}) == 0.0);
}

TEST_CASE("unary: gradients of float leave its range only where they must") {
  const auto gradient = [](UnaryOp op, float saved, float dy, double a = 0.0) {
    return run_kernel<float>(1, [&](float* dx) {
      target::unary_backward(op, DType::float32, 1, on_device(std::vector{dy}),
                             on_device(std::vector{saved}), dx, {a});
    })[0];
  };
  // Powers of two: 2^100 * 2^100 is beyond float, 2^-100 * 2^-100 below it.
  const float large = std::ldexp(1.0F, 100);
  const float small = std::ldexp(1.0F, -100);
  CHECK(gradient(UnaryOp::divide_into, large, 1.0F, large) == -small);
  CHECK(gradient(UnaryOp::divide_into, small, 1.0F, small) == -large);
  CHECK(gradient(UnaryOp::divide_into, small, 1.0F, 0.0) == 0.0F);
  CHECK(gradient(UnaryOp::pow, large, large, -1.0) == -small);
  CHECK(gradient(UnaryOp::pow, small, small, -1.0) == -large);
  CHECK(gradient(UnaryOp::pow, large, small, 3.0) == 3.0F * large);
  CHECK(gradient(UnaryOp::square, std::ldexp(1.5F, 127), small) == std::ldexp(1.5F, 28));
}

TEST_CASE("unary: NaN and infinity") {
  for (const UnaryCase& c : cases()) {
    CAPTURE(std::string(name_of(c.op)));
    CHECK(std::isnan(value_at(c.op, kNan, c.parameters)));
  }
  CHECK(value_at(UnaryOp::relu, -kInf) == 0.0);
  CHECK(value_at(UnaryOp::relu, kInf) == kInf);
  CHECK(value_at(UnaryOp::clamp, kInf, {-1.0, 2.0}) == 2.0);
  CHECK(value_at(UnaryOp::clamp, -kInf, {-1.0, 2.0}) == -1.0);
  CHECK(value_at(UnaryOp::sigmoid, -1000.0) == 0.0);
  CHECK(value_at(UnaryOp::sigmoid, 1000.0) == 1.0);
  CHECK(value_at(UnaryOp::gelu, -kInf) == 0.0);
  CHECK(value_at(UnaryOp::gelu, kInf) == kInf);
  CHECK(gradient_at(UnaryOp::gelu, -kInf) == 0.0);
  CHECK(gradient_at(UnaryOp::gelu, kInf) == 3.0);
  CHECK(std::isnan(gradient_at(UnaryOp::gelu, kNan)));
  CHECK(std::isnan(value_at(UnaryOp::sqrt, -1.0)));
  CHECK(value_at(UnaryOp::log, 0.0) == -kInf);
  CHECK(std::isnan(gradient_at(UnaryOp::relu, 1.0, {}, kNan)));
  CHECK(gradient_at(UnaryOp::relu, -0.0, {}, kNan) == 0.0);
}

TEST_CASE("unary: gelu has no NaN at its ends") {
  const auto in = std::vector<float>{-10.0F,
                                     -std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::max(),
                                     -std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::infinity(),
                                     0.0F};
  const auto y = run_kernel<float>(6, [&](float* out) {
    target::unary_forward(UnaryOp::gelu, DType::float32, 6, on_device(in), out, {});
  });
  CHECK(y == std::vector<float>{0.0F, 0.0F, in[2], 0.0F, in[4], 0.0F});
  const auto dx = run_kernel<float>(6, [&](float* out) {
    target::unary_backward(UnaryOp::gelu, DType::float32, 6, on_device(std::vector<float>(6, 2.0F)),
                           on_device(in), out, {});
  });
  CHECK(std::vector<float>(dx.begin() + 1, dx.end()) ==
        std::vector<float>{0.0F, 2.0F, 0.0F, 2.0F, 1.0F});
}

TEST_CASE("unary: results may be inputs") {
  const auto x = random_values<float>(50000, 1, -1, 1);
  std::vector<float> expected;
  for (const float value : x) {
    expected.push_back(value > 0 ? value : 0);
  }
  const auto y = run_kernel<float>(50000, [&](float* in_place) {
    testing::write_to(in_place, x);
    target::unary_forward(UnaryOp::relu, DType::float32, 50000, in_place, in_place, {});
  });
  const auto result = compare(y, expected);
  CHECK_MESSAGE(result.ok, result.message);
}

TEST_CASE("unary: other dtypes are refused with the operation's name") {
  std::int32_t x = 1;
  CHECK_THROWS_WITH_AS(target::unary_forward(UnaryOp::exp, DType::int32, 1, &x, &x, {}),
                       "exp: takes float32 or float64, got int32", DtypeError);
  CHECK_THROWS_AS(target::unary_backward(UnaryOp::exp, DType::int32, 1, &x, &x, &x, {}),
                  DtypeError);
}

}  // namespace
}  // namespace cks::kernels
