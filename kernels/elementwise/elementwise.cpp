#include "cks/kernels/elementwise/elementwise.h"

namespace cks::kernels {

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

const char* name_of(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
      return "add";
    case BinaryOp::sub:
      return "sub";
    case BinaryOp::mul:
      return "mul";
    case BinaryOp::div:
      return "div";
    case BinaryOp::maximum:
      return "maximum";
    case BinaryOp::minimum:
      return "minimum";
  }
  return "?";
}

}  // namespace cks::kernels
