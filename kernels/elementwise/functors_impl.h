#pragma once
#include <cmath>

#include "cks/kernels/common/host_device.h"
#include "cks/kernels/elementwise/elementwise.h"

/// The formulas of element-wise operations, each once for the CPU and the GPU: f(x) is the value,
/// grad(dy, saved) the gradient of x from that of the result and from what unary_saves names.
/// Private to this room's implementation.
namespace cks::kernels::functors {

/// Gradient of x / y for y, -dy * x / y^2. Only the result may leave the range of T: float is
/// computed in double, where no step can, and double divides twice.
template <class T>
CKS_HOST_DEVICE T quotient_gradient(T dy, T x, T y) {
  const auto divisor = static_cast<double>(y);
  return static_cast<T>(-(static_cast<double>(dy) / divisor) * (static_cast<double>(x) / divisor));
}

template <class T>
struct Neg {
  CKS_HOST_DEVICE T operator()(T x) const { return -x; }
  CKS_HOST_DEVICE T grad(T dy, T) const { return -dy; }
};

template <class T>
struct Abs {
  CKS_HOST_DEVICE T operator()(T x) const { return std::abs(x); }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return x > T(0) ? dy : (x < T(0) ? -dy : T(0)); }
};

template <class T>
struct Square {
  CKS_HOST_DEVICE T operator()(T x) const { return x * x; }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return T(2) * (dy * x); }
};

template <class T>
struct Exp {
  CKS_HOST_DEVICE T operator()(T x) const { return std::exp(x); }
  CKS_HOST_DEVICE T grad(T dy, T y) const { return dy * y; }
};

template <class T>
struct Log {
  CKS_HOST_DEVICE T operator()(T x) const { return std::log(x); }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return dy / x; }
};

template <class T>
struct Sqrt {
  CKS_HOST_DEVICE T operator()(T x) const { return std::sqrt(x); }
  CKS_HOST_DEVICE T grad(T dy, T y) const { return dy / (y + y); }
};

template <class T>
struct Pow {
  T exponent;
  CKS_HOST_DEVICE T operator()(T x) const { return std::pow(x, exponent); }
  // x^0 is constant, also at 0, where the general formula would give 0 * infinity. In double, so
  // that a power beyond the range of float does not decide where the gradient is within it.
  CKS_HOST_DEVICE T grad(T dy, T x) const {
    const auto power = static_cast<double>(exponent);
    return exponent == T(0) ? T(0)
                            : static_cast<T>(static_cast<double>(dy) * power *
                                             std::pow(static_cast<double>(x), power - 1.0));
  }
};

template <class T>
struct Clamp {
  T low;
  T high;
  CKS_HOST_DEVICE T operator()(T x) const { return x < low ? low : (x > high ? high : x); }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return x >= low && x <= high ? dy : T(0); }
};

template <class T>
struct Relu {
  CKS_HOST_DEVICE T operator()(T x) const { return x <= T(0) ? T(0) : x; }
  CKS_HOST_DEVICE T grad(T dy, T y) const { return y <= T(0) ? T(0) : dy; }
};

template <class T>
struct LeakyRelu {
  T slope;
  CKS_HOST_DEVICE T operator()(T x) const { return x > T(0) ? x : x * slope; }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return x > T(0) ? dy : dy * slope; }
};

template <class T>
struct Sigmoid {
  CKS_HOST_DEVICE T operator()(T x) const { return T(1) / (T(1) + std::exp(-x)); }
  CKS_HOST_DEVICE T grad(T dy, T y) const { return dy * (y * (T(1) - y)); }
};

template <class T>
struct Tanh {
  CKS_HOST_DEVICE T operator()(T x) const { return std::tanh(x); }
  CKS_HOST_DEVICE T grad(T dy, T y) const { return dy * (T(1) - y * y); }
};

template <class T>
struct AddScalar {
  T a;
  CKS_HOST_DEVICE T operator()(T x) const { return x + a; }
  CKS_HOST_DEVICE T grad(T dy, T) const { return dy; }
};

template <class T>
struct MulScalar {
  T a;
  CKS_HOST_DEVICE T operator()(T x) const { return x * a; }
  CKS_HOST_DEVICE T grad(T dy, T) const { return dy * a; }
};

template <class T>
struct DivScalar {
  T a;
  CKS_HOST_DEVICE T operator()(T x) const { return x / a; }
  CKS_HOST_DEVICE T grad(T dy, T) const { return dy / a; }
};

template <class T>
struct SubtractFrom {
  T a;
  CKS_HOST_DEVICE T operator()(T x) const { return a - x; }
  CKS_HOST_DEVICE T grad(T dy, T) const { return -dy; }
};

template <class T>
struct DivideInto {
  T a;
  CKS_HOST_DEVICE T operator()(T x) const { return a / x; }
  CKS_HOST_DEVICE T grad(T dy, T x) const { return quotient_gradient(dy, a, x); }
};

/// Calls body with the function of an operation for T.
template <class T, class Body>
void visit_unary(UnaryOp op, UnaryParameters parameters, Body&& body) {
  const T a = static_cast<T>(parameters.a);
  const T b = static_cast<T>(parameters.b);
  switch (op) {
    case UnaryOp::neg:
      return body(Neg<T>{});
    case UnaryOp::abs:
      return body(Abs<T>{});
    case UnaryOp::square:
      return body(Square<T>{});
    case UnaryOp::exp:
      return body(Exp<T>{});
    case UnaryOp::log:
      return body(Log<T>{});
    case UnaryOp::sqrt:
      return body(Sqrt<T>{});
    case UnaryOp::pow:
      return body(Pow<T>{a});
    case UnaryOp::clamp:
      return body(Clamp<T>{a, b});
    case UnaryOp::relu:
      return body(Relu<T>{});
    case UnaryOp::leaky_relu:
      return body(LeakyRelu<T>{a});
    case UnaryOp::sigmoid:
      return body(Sigmoid<T>{});
    case UnaryOp::tanh:
      return body(Tanh<T>{});
    case UnaryOp::add_scalar:
      return body(AddScalar<T>{a});
    case UnaryOp::mul_scalar:
      return body(MulScalar<T>{a});
    case UnaryOp::div_scalar:
      return body(DivScalar<T>{a});
    case UnaryOp::subtract_from:
      return body(SubtractFrom<T>{a});
    case UnaryOp::divide_into:
      return body(DivideInto<T>{a});
  }
}

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

/// Calls body with the function of an operation.
template <class Body>
void visit_binary(BinaryOp op, Body&& body) {
  switch (op) {
    case BinaryOp::add:
      return body(Binary<BinaryOp::add>{});
    case BinaryOp::sub:
      return body(Binary<BinaryOp::sub>{});
    case BinaryOp::mul:
      return body(Binary<BinaryOp::mul>{});
    case BinaryOp::div:
      return body(Binary<BinaryOp::div>{});
    case BinaryOp::maximum:
      return body(Binary<BinaryOp::maximum>{});
    case BinaryOp::minimum:
      return body(Binary<BinaryOp::minimum>{});
  }
}

/// What a comparison compares: numbers that have the operators.
template <class T>
CKS_HOST_DEVICE T comparable(T value) {
  return value;
}
CKS_HOST_DEVICE inline float comparable(bfloat16 value) { return static_cast<float>(value); }

template <class T>
CKS_HOST_DEVICE bool holds(CompareOp op, T a, T b) {
  const auto x = comparable(a);
  const auto y = comparable(b);
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

template <class Body>
void visit_compare(CompareOp op, Body&& body) {
  switch (op) {
    case CompareOp::equal:
      return body(Compare<CompareOp::equal>{});
    case CompareOp::not_equal:
      return body(Compare<CompareOp::not_equal>{});
    case CompareOp::less:
      return body(Compare<CompareOp::less>{});
    case CompareOp::less_equal:
      return body(Compare<CompareOp::less_equal>{});
    case CompareOp::greater:
      return body(Compare<CompareOp::greater>{});
    case CompareOp::greater_equal:
      return body(Compare<CompareOp::greater_equal>{});
  }
}

struct DivGrad {
  template <class T>
  CKS_HOST_DEVICE T operator()(T dy, T x, T y) const {
    return quotient_gradient(dy, x, y);
  }
};

struct MaximumGrad {
  template <class T>
  CKS_HOST_DEVICE T operator()(T dy, T x, T y) const {
    const T share = x < y ? T(0) : dy;
    return x == y ? dy * T(0.5) : share;
  }
};

struct MinimumGrad {
  template <class T>
  CKS_HOST_DEVICE T operator()(T dy, T x, T y) const {
    const T share = x > y ? T(0) : dy;
    return x == y ? dy * T(0.5) : share;
  }
};

struct IfEqual {
  template <class T>
  CKS_HOST_DEVICE T operator()(T x, T y, T z) const {
    const T both_nan = x != x && y != y ? z : T(0);
    return x == y ? z : both_nan;
  }
};

template <class Body>
void visit_ternary(TernaryOp op, Body&& body) {
  switch (op) {
    case TernaryOp::div_grad:
      return body(DivGrad{});
    case TernaryOp::maximum_grad:
      return body(MaximumGrad{});
    case TernaryOp::minimum_grad:
      return body(MinimumGrad{});
    case TernaryOp::if_equal:
      return body(IfEqual{});
  }
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
  T scale;
  CKS_HOST_DEVICE T operator()(T x, T y) const { return y + scale * x; }
};

}  // namespace cks::kernels::functors
