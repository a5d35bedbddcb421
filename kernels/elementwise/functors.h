#pragma once
#include <cmath>

#include "cks/kernels/elementwise/elementwise.h"

/// The formulas of element-wise operations, each once: f(x) is the value, grad(dy, saved) the
/// gradient of x from that of the result and from what unary_saves names.
/// Private to this room's implementation.
namespace cks::kernels::functors {

template <class T>
struct Neg {
  T operator()(T x) const { return -x; }
  T grad(T dy, T) const { return -dy; }
};

template <class T>
struct Abs {
  T operator()(T x) const { return std::abs(x); }
  T grad(T dy, T x) const { return x > T(0) ? dy : (x < T(0) ? -dy : T(0)); }
};

template <class T>
struct Square {
  T operator()(T x) const { return x * x; }
  T grad(T dy, T x) const { return dy * (x + x); }
};

template <class T>
struct Exp {
  T operator()(T x) const { return std::exp(x); }
  T grad(T dy, T y) const { return dy * y; }
};

template <class T>
struct Log {
  T operator()(T x) const { return std::log(x); }
  T grad(T dy, T x) const { return dy / x; }
};

template <class T>
struct Sqrt {
  T operator()(T x) const { return std::sqrt(x); }
  T grad(T dy, T y) const { return dy / (y + y); }
};

template <class T>
struct Pow {
  T exponent;
  T operator()(T x) const { return std::pow(x, exponent); }
  // x^0 is constant, also at 0, where the general formula would give 0 * infinity.
  T grad(T dy, T x) const {
    return exponent == T(0) ? T(0) : dy * exponent * std::pow(x, exponent - T(1));
  }
};

template <class T>
struct Clamp {
  T low;
  T high;
  T operator()(T x) const { return x < low ? low : (x > high ? high : x); }
  T grad(T dy, T x) const { return x >= low && x <= high ? dy : T(0); }
};

template <class T>
struct Relu {
  T operator()(T x) const { return x <= T(0) ? T(0) : x; }
  T grad(T dy, T y) const { return y <= T(0) ? T(0) : dy; }
};

template <class T>
struct LeakyRelu {
  T slope;
  T operator()(T x) const { return x > T(0) ? x : x * slope; }
  T grad(T dy, T x) const { return x > T(0) ? dy : dy * slope; }
};

template <class T>
struct Sigmoid {
  T operator()(T x) const { return T(1) / (T(1) + std::exp(-x)); }
  T grad(T dy, T y) const { return dy * (y * (T(1) - y)); }
};

template <class T>
struct Tanh {
  T operator()(T x) const { return std::tanh(x); }
  T grad(T dy, T y) const { return dy * (T(1) - y * y); }
};

template <class T>
struct AddScalar {
  T a;
  T operator()(T x) const { return x + a; }
  T grad(T dy, T) const { return dy; }
};

template <class T>
struct MulScalar {
  T a;
  T operator()(T x) const { return x * a; }
  T grad(T dy, T) const { return dy * a; }
};

template <class T>
struct DivScalar {
  T a;
  T operator()(T x) const { return x / a; }
  T grad(T dy, T) const { return dy / a; }
};

template <class T>
struct SubtractFrom {
  T a;
  T operator()(T x) const { return a - x; }
  T grad(T dy, T) const { return -dy; }
};

template <class T>
struct DivideInto {
  T a;
  T operator()(T x) const { return a / x; }
  T grad(T dy, T x) const { return -dy * a / (x * x); }
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

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};

struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};

struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};

// A NaN in `a` compares false and is kept by the first test, one in `b` by the second.
struct Maximum {
  template <class T>
  T operator()(T a, T b) const {
    const T larger = a < b ? b : a;
    return b != b ? b : larger;
  }
};

struct Minimum {
  template <class T>
  T operator()(T a, T b) const {
    const T smaller = a > b ? b : a;
    return b != b ? b : smaller;
  }
};

struct DivGrad {
  template <class T>
  T operator()(T dy, T x, T y) const {
    return -dy * x / (y * y);
  }
};

struct MaximumGrad {
  template <class T>
  T operator()(T dy, T x, T y) const {
    const T share = x < y ? T(0) : dy;
    return x == y ? dy * T(0.5) : share;
  }
};

struct MinimumGrad {
  template <class T>
  T operator()(T dy, T x, T y) const {
    const T share = x > y ? T(0) : dy;
    return x == y ? dy * T(0.5) : share;
  }
};

struct IfEqual {
  template <class T>
  T operator()(T x, T y, T z) const {
    const T both_nan = x != x && y != y ? z : T(0);
    return x == y ? z : both_nan;
  }
};

}  // namespace cks::kernels::functors
