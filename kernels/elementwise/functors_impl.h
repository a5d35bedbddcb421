#pragma once
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "cks/kernels/common/activation.h"
#include "cks/kernels/common/host_device.h"
#include "cks/kernels/elementwise/elementwise.h"

/// The formulas of element-wise operations, each once for the CPU and the GPU. Private to this
/// room's implementation.
namespace cks::kernels::functors {

/// Gradient of x / y for y, -dy * x / y^2. Only the result may leave the range of T: float is
/// computed in double, where no step can, and double divides twice.
template <class T>
CKS_HOST_DEVICE T quotient_gradient(T dy, T x, T y) {
  const auto divisor = static_cast<double>(y);
  return static_cast<T>(-(static_cast<double>(dy) / divisor) * (static_cast<double>(x) / divisor));
}

/// Functions of one element and their gradients, T being its type.
template <UnaryOp kOp, class T>
struct Unary {
  T a, b;  // the numbers of UnaryParameters

  CKS_HOST_DEVICE T operator()(T x) const {
    switch (kOp) {
      case UnaryOp::neg:
        return -x;
      case UnaryOp::abs:
        return std::abs(x);
      case UnaryOp::square:
        return x * x;
      case UnaryOp::exp:
        return std::exp(x);
      case UnaryOp::log:
        return std::log(x);
      case UnaryOp::sqrt:
        return std::sqrt(x);
      case UnaryOp::pow:
        return std::pow(x, a);
      case UnaryOp::clamp:
        return x < a ? a : (x > b ? b : x);
      case UnaryOp::relu:
        return x <= T(0) ? T(0) : x;
      case UnaryOp::leaky_relu:
        return x > T(0) ? x : x * a;
      case UnaryOp::sigmoid:
        return T(1) / (T(1) + std::exp(-x));
      case UnaryOp::tanh:
        return std::tanh(x);
      case UnaryOp::gelu:
        return gelu(x);
      case UnaryOp::add_scalar:
        return x + a;
      case UnaryOp::mul_scalar:
        return x * a;
      case UnaryOp::div_scalar:
        return x / a;
      case UnaryOp::subtract_from:
        return a - x;
      case UnaryOp::divide_into:
        break;
    }
    return a / x;
  }

  /// Of x; `saved` is x or the result, as unary_saves() says.
  CKS_HOST_DEVICE T grad(T dy, T saved) const {
    switch (kOp) {
      case UnaryOp::neg:
      case UnaryOp::subtract_from:
        return -dy;
      case UnaryOp::abs:
        return saved > T(0) ? dy : (saved < T(0) ? -dy : T(0));
      case UnaryOp::square:
        return T(2) * (dy * saved);
      case UnaryOp::exp:
        return dy * saved;
      case UnaryOp::log:
        return dy / saved;
      case UnaryOp::sqrt:
        return dy / (saved + saved);
      case UnaryOp::pow: {
        // x^0 is constant, also at 0, where the general formula would give 0 * infinity. In double,
        // so that a power beyond the range of float does not decide where the gradient is within
        // it.
        const auto power = static_cast<double>(a);
        return a == T(0) ? T(0)
                         : static_cast<T>(static_cast<double>(dy) * power *
                                          std::pow(static_cast<double>(saved), power - 1.0));
      }
      case UnaryOp::clamp:
        return saved >= a && saved <= b ? dy : T(0);
      case UnaryOp::relu:
        return saved <= T(0) ? T(0) : dy;
      case UnaryOp::leaky_relu:
        return saved <= T(0) ? dy * a : dy;
      case UnaryOp::sigmoid:
        return dy * (saved * (T(1) - saved));
      case UnaryOp::tanh:
        return dy * (T(1) - saved * saved);
      case UnaryOp::gelu:
        return dy * gelu_slope(saved);
      case UnaryOp::add_scalar:
        return dy;
      case UnaryOp::mul_scalar:
        return dy * a;
      case UnaryOp::div_scalar:
        return dy / a;
      case UnaryOp::divide_into:
        break;
    }
    return quotient_gradient(dy, a, saved);
  }
};

template <BinaryOp kOp>
struct Binary {
  template <class T>
  CKS_HOST_DEVICE T operator()(T a, T b) const {
    switch (kOp) {
      case BinaryOp::add:
        return a + b;
      case BinaryOp::sub:
        return a - b;
      case BinaryOp::mul:
        return a * b;
      case BinaryOp::div:
        return a / b;
      // A NaN in `a` compares false and is kept by the first test, one in `b` by the second.
      case BinaryOp::maximum:
        return b != b ? b : (a < b ? b : a);
      case BinaryOp::minimum:
        break;
    }
    return b != b ? b : (a > b ? b : a);
  }
};

template <class T>
CKS_HOST_DEVICE bool holds(CompareOp op, T a, T b) {
  const auto x = widen<ComputeType<T>>(a);
  const auto y = widen<ComputeType<T>>(b);
  switch (op) {
    case CompareOp::equal:
      return x == y;
    case CompareOp::not_equal:
      return x != y;
    case CompareOp::less:
      return x < y;
    case CompareOp::less_equal:
      return x <= y;
    case CompareOp::greater:
      return x > y;
    case CompareOp::greater_equal:
      break;
  }
  return x >= y;
}

template <CompareOp kOp>
struct Compare {
  template <class T>
  CKS_HOST_DEVICE std::uint8_t operator()(T a, T b) const {
    return holds(kOp, a, b) ? 1 : 0;
  }
};

template <TernaryOp kOp>
struct Ternary {
  template <class T>
  CKS_HOST_DEVICE T operator()(T x, T y, T z) const {
    switch (kOp) {
      case TernaryOp::div_grad:
        return quotient_gradient(x, y, z);
      case TernaryOp::maximum_grad:
        return y == z ? x * T(0.5) : (y < z ? T(0) : x);
      case TernaryOp::minimum_grad:
        return y == z ? x * T(0.5) : (y > z ? T(0) : x);
      case TernaryOp::if_equal:
        break;
    }
    return x == y || (x != x && y != y) ? z : T(0);
  }
};

/// Calls body with an enumerator, kLast at most, as an integral constant.
template <auto kLast, class Body>
void visit_enumerator(decltype(kLast) wanted, Body&& body) {
  using Enum = decltype(kLast);
  [&]<std::size_t... kAll>(std::index_sequence<kAll...>) {
    ((wanted == Enum{kAll} ? body(std::integral_constant<Enum, Enum{kAll}>()) : void()), ...);
  }
  (std::make_index_sequence<static_cast<std::size_t>(kLast) + 1>());
}

/// Call body with the function of an operation.
template <class T, class Body>
void visit_unary(UnaryOp op, UnaryParameters parameters, Body&& body) {
  visit_enumerator<UnaryOp::divide_into>(op, [&](auto chosen) {
    body(Unary<chosen(), T>{static_cast<T>(parameters.a), static_cast<T>(parameters.b)});
  });
}
template <class Body>
void visit_binary(BinaryOp op, Body&& body) {
  visit_enumerator<BinaryOp::minimum>(op, [&](auto chosen) { body(Binary<chosen()>{}); });
}
template <class Body>
void visit_compare(CompareOp op, Body&& body) {
  visit_enumerator<CompareOp::greater_equal>(op, [&](auto chosen) { body(Compare<chosen()>{}); });
}
template <class Body>
void visit_ternary(TernaryOp op, Body&& body) {
  visit_enumerator<TernaryOp::if_equal>(op, [&](auto chosen) { body(Ternary<chosen()>{}); });
}

struct Select {
  template <class T>
  CKS_HOST_DEVICE T operator()(std::uint8_t condition, T a, T b) const {
    return condition != 0 ? a : b;
  }
};

/// A step of accumulate: (x, y) -> y + scale * x.
template <class T>
struct Accumulate {
  using Sum = ComputeType<T>;
  Sum scale;
  CKS_HOST_DEVICE T operator()(T x, T y) const {
    return narrowed<T>(widen<Sum>(y) + scale * widen<Sum>(x));
  }
};

}  // namespace cks::kernels::functors
