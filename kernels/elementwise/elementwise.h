#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/elementwise/broadcast.h"

/// Operations on each element by itself. Inputs and results are dense; a result may be an input
/// (in place) unless it is broadcast. Count 0 does nothing. Arithmetic takes float32 and float64
/// (DtypeError otherwise). A NaN operand gives NaN, in maximum, minimum, relu and clamp too.
namespace cks::kernels {

/// Functions of one element x; a and b are the numbers of UnaryParameters.
enum class UnaryOp : std::uint8_t {
  neg,            // -x
  abs,            // |x|                          derivative at 0: 0
  square,         // x * x
  exp,            // e to the x
  log,            // natural logarithm
  sqrt,           // square root
  pow,            // x to the a
  clamp,          // a below a, b above b, else x  derivative at the bounds: 1
  relu,           // x above 0, else 0             derivative at 0: 0
  leaky_relu,     // x above 0, else a * x         derivative at 0: a
  sigmoid,        // 1 / (1 + e to the -x)
  tanh,           // hyperbolic tangent
  gelu,           // x * Phi(x), Phi being the normal distribution's
  add_scalar,     // x + a
  mul_scalar,     // x * a
  div_scalar,     // x / a
  subtract_from,  // a - x
  divide_into,    // a / x
};

struct UnaryParameters {
  double a = 0.0;
  double b = 0.0;
};

/// What the derivative is computed from: unary_backward's `saved`.
enum class UnarySaves : std::uint8_t { nothing, input, output };
UnarySaves unary_saves(UnaryOp op);
const char* name_of(UnaryOp op);

enum class BinaryOp : std::uint8_t { add, sub, mul, div, maximum, minimum };
const char* name_of(BinaryOp op);

/// Comparisons give uint8 0 or 1; all but not_equal are 0 where an operand is NaN.
enum class CompareOp : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };

/// Functions of three elements, each a step of some operation's gradient.
enum class TernaryOp : std::uint8_t {
  div_grad,      // (dy, x, y) -> -dy * x / y^2: gradient of x / y for y; y^2 is never formed
  maximum_grad,  // (dy, x, y) -> gradient of maximum(x, y) for x: dy if x is greater, dy/2 if equal
  minimum_grad,  // the same for minimum
  if_equal,      // (x, y, z)  -> z where x equals y or both are NaN, else 0
};

CKS_ENTRY_POINT(void, unary_forward,
                (UnaryOp op, DType dtype, std::int64_t count, const void* x, void* y,
                 UnaryParameters parameters));
/// dx = dy * f'; `saved` is what unary_saves(op) says, null for nothing.
CKS_ENTRY_POINT(void, unary_backward,
                (UnaryOp op, DType dtype, std::int64_t count, const void* dy, const void* saved,
                 void* dx, UnaryParameters parameters));

/// y = f(a, b); `problem` has operands {a, b}.
CKS_ENTRY_POINT(void, binary_forward,
                (BinaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
                 const void* b, void* y));
/// The same with every dtype and a uint8 result.
CKS_ENTRY_POINT(void, compare,
                (CompareOp op, DType dtype, const BroadcastProblem& problem, const void* a,
                 const void* b, std::uint8_t* y));
/// y = f(a, b, c); `problem` has operands {a, b, c}.
CKS_ENTRY_POINT(void, ternary,
                (TernaryOp op, DType dtype, const BroadcastProblem& problem, const void* a,
                 const void* b, const void* c, void* y));
/// y = condition ? a : b, every dtype; `problem` has operands {condition, a, b}.
CKS_ENTRY_POINT(void, select,
                (DType dtype, const BroadcastProblem& problem, const std::uint8_t* condition,
                 const void* a, const void* b, void* y));

/// y = value, converted as by convert(). Every dtype.
CKS_ENTRY_POINT(void, fill, (DType dtype, std::int64_t count, double value, void* y));
/// y = x in another dtype, every pair. To an integer: towards zero, values outside its range become
/// its nearest end and NaN becomes 0; between integers: modulo 2^bits; float64 to bfloat16 rounds
/// to float32 first.
CKS_ENTRY_POINT(void, convert, (DType from, DType to, std::int64_t count, const void* x, void* y));

/// A tensor of a list, and where its elements go.
struct RoundedTensor {
  const float* x;
  bfloat16* y;
  std::int64_t count;
};
/// The same as convert() from float32 to bfloat16, of all tensors of a list, which lies in host
/// memory and is read before the call returns: a GPU rounds many small ones in one launch.
CKS_ENTRY_POINT(void, round_tensors, (const RoundedTensor* tensors, std::int64_t count));
/// y += scale * x: how gradients are summed.
CKS_ENTRY_POINT(void, accumulate,
                (DType dtype, std::int64_t count, const void* x, void* y, double scale));

}  // namespace cks::kernels
