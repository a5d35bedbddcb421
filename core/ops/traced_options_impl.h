#pragma once
#include <vector>

#include "cks/core/autograd/trace_impl.h"
#include "cks/core/ops/rearrange.h"
#include "cks/kernels/common/geometry.h"
#include "cks/kernels/elementwise/elementwise.h"

/// What note_options() says of operations that have no options struct. Axes count from 0.
namespace cks::ops {

/// Says that the operation is ours, and not one of the same name.
struct NoOptions {};

struct UnaryCall {
  kernels::UnaryOp op{};
  kernels::UnaryParameters parameters{};
};

struct ActivationCall {
  double slope = 1.0;  // of the activation at the end below 0; 1: none
};

struct NormCall {
  bool training = false;  // with the batch's statistics
  double eps = 0.0;
  double slope = 1.0;  // of the activation below 0; 1: none
  Tensor running_mean{};
  Tensor running_var{};
};

struct Permutation {
  std::vector<int> order;
};

struct Reduction {
  std::vector<int> axes{};
  bool keepdim = false;
};

struct AlongAxis {
  int axis = 0;
};

struct Range {
  int axis = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t step = 1;
};

struct Surrounding {
  std::vector<PadAmount> amounts;
  double value = 0.0;
};

struct Resampling {
  Size2 size;
  bool align_corners = false;
};

struct Enlargement {
  std::int64_t scale = 1;
};

}  // namespace cks::ops
