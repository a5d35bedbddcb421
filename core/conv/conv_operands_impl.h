#pragma once
#include <cstdint>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/conv2d/conv2d.h"

namespace cks {

/// As Conv2dProblem::is_aligned asks of operands and results.
inline bool is_aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data()) % 16 == 0;
}

/// What follows the sums of a product or a convolution in the same pass over its result.
struct SumsEnd {
  Tensor bias{};
  double negative_slope = 1.0;
  Tensor mask{};  // of an input's gradient, on a GPU: what an activation made of the input
  double mask_slope = 1.0;
  Tensor added{};  // of the result's shape

  kernels::Epilogue epilogue() const;  // of this struct's tensors
  SumsEnd widened() const;             // with those of bfloat16 as float32
};

/// Random X, W and dY of a convolution, to try plans on. Random, never zeros, since zeros would
/// flatter a processor's clock.
class ConvOperands {
 public:
  /// Values between `least` and 1. W is of X's type, which all passes read.
  ConvOperands(const kernels::Conv2dProblem& problem, Device device, double least = -1.0);

  /// Memory for the result of a pass.
  Tensor make_result(kernels::Conv2dPass pass, DType dtype) const;
  /// Runs the plan's pass into `result`; returns the executed multiply-adds.
  std::int64_t run(const kernels::PreparedConv2d& conv, Tensor& result, Tensor& workspace) const;

  Tensor x, w, dy;
};

/// What a plan needs beside operands and result.
Tensor make_workspace(const kernels::Conv2dPlan& plan, Device device);

/// The type of what a pass computes.
DType result_type(const kernels::Conv2dProblem& problem, kernels::Conv2dPass pass);

}  // namespace cks
