#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/elementwise/elementwise.h"
#include "cks/kernels/elementwise/functors_impl.h"

namespace cks::kernels {
namespace {

// Elements of one block: a quarter of a second-level cache, so a block costs much more than handing
// it out.
constexpr std::int64_t kGrain = 16384;

}  // namespace

UnarySaves unary_saves(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
    case UnaryOp::add_scalar:
    case UnaryOp::mul_scalar:
    case UnaryOp::div_scalar:
    case UnaryOp::subtract_from:
      return UnarySaves::nothing;
    case UnaryOp::exp:
    case UnaryOp::sqrt:
    case UnaryOp::relu:
    case UnaryOp::sigmoid:
    case UnaryOp::tanh:
      return UnarySaves::output;
    case UnaryOp::abs:
    case UnaryOp::square:
    case UnaryOp::log:
    case UnaryOp::pow:
    case UnaryOp::clamp:
    case UnaryOp::leaky_relu:
    case UnaryOp::divide_into:
      break;
  }
  return UnarySaves::input;
}

const char* name_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
      return "neg";
    case UnaryOp::abs:
      return "abs";
    case UnaryOp::square:
      return "square";
    case UnaryOp::exp:
      return "exp";
    case UnaryOp::log:
      return "log";
    case UnaryOp::sqrt:
      return "sqrt";
    case UnaryOp::pow:
      return "pow";
    case UnaryOp::clamp:
      return "clamp";
    case UnaryOp::relu:
      return "relu";
    case UnaryOp::leaky_relu:
      return "leaky_relu";
    case UnaryOp::sigmoid:
      return "sigmoid";
    case UnaryOp::tanh:
      return "tanh";
    case UnaryOp::add_scalar:
      return "add";
    case UnaryOp::mul_scalar:
      return "mul";
    case UnaryOp::div_scalar:
    case UnaryOp::divide_into:
      return "div";
    case UnaryOp::subtract_from:
      return "sub";
  }
  return "?";
}

namespace cpu {

void unary_forward(UnaryOp op, DType dtype, std::int64_t count, const void* x, void* y,
                   UnaryParameters parameters) {
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* in = static_cast<const T*>(x);
    T* out = static_cast<T*>(y);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          out[i] = function(in[i]);
        }
      });
    });
  });
}

void unary_backward(UnaryOp op, DType dtype, std::int64_t count, const void* dy, const void* saved,
                    void* dx, UnaryParameters parameters) {
  const bool saves = unary_saves(op) != UnarySaves::nothing;
  visit_real(name_of(op), dtype, [&]<class T>(T) {
    const T* grad_output = static_cast<const T*>(dy);
    // Functions that save nothing ignore the second argument; dy is something valid to read.
    const T* kept = saves ? static_cast<const T*>(saved) : grad_output;
    T* grad_input = static_cast<T*>(dx);
    functors::visit_unary<T>(op, parameters, [&](auto function) {
      parallel_for_ranges(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          grad_input[i] = function.grad(grad_output[i], kept[i]);
        }
      });
    });
  });
}

}  // namespace cpu
}  // namespace cks::kernels
