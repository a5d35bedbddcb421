#pragma once
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Of the operation and of the layer, which makes its tensors from num_features and affine. The
/// operation is given them: it needs neither, and checks them where they are set.
struct BatchNorm2dOptions {
  std::int64_t num_features = 0;  // C; 0: input says it
  double eps = 1e-5;
  double momentum = 0.1;  // share of a batch in the running statistics
  bool affine = true;     // false: without weight and bias
};

/// Normalises every channel c to mean bias[c] and standard deviation weight[c]:
///
///   Y = (X - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
///
/// In training, mean and biased variance are the batch's, and the running statistics, if defined,
/// move towards them: running = (1 - momentum) * running + momentum * batch, with the unbiased
/// variance; the batch is that of all ranks where they share one (BatchPart::statistics). In
/// evaluation the running statistics are used and stay as they are.
///
/// Shapes       input [..,C], rank >= 2; weight and bias [C], both or none; running_mean and
///              running_var [C], both or none, but given in evaluation.
/// Dtype        float32 or float64; sums in float64.
/// Gradients    for input, weight and bias; in training they flow through the statistics. The
///              running statistics get none.
/// Determinism  the same bits for every number of threads.
/// Throws       ShapeError, also for an option that disagrees, or in training on fewer than two
/// values a channel; DtypeError,
///              DeviceError; Error if eps <= 0, momentum is outside [0, 1], or statistics are
///              missing. Then the running statistics are as before.
Tensor batch_norm2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                    Tensor& running_mean, Tensor& running_var, bool training = true,
                    const BatchNorm2dOptions& options = {});

}  // namespace cks
