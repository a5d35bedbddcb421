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
  /// Of an activation in the same pass, in [0, 1]; 1: none, 0: ReLU, between: leaky ReLU.
  double negative_slope = 1.0;
  bool gelu = false;  // GELU in place of that; on a GPU in the same pass unless there is a residual
};

/// Normalises every channel c to mean bias[c] and standard deviation weight[c]:
///
///   Y = (X - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
///
/// then adds the residual, if one is given, and applies the activation of the options: in one pass
/// over memory what other operations could do in three, and two of the gradients.
///
/// In training, mean and biased variance are the batch's, and the running statistics, if defined,
/// move towards them: running = (1 - momentum) * running + momentum * batch, with the unbiased
/// variance; the batch is that of all ranks where they share one (BatchPart::statistics). In
/// evaluation the running statistics are used and stay as they are. Of an input that conv2d has
/// left sums of, and that is as conv2d made it, the batch's come from those: float32 around 0.
///
/// Shapes       input [..,C], rank >= 2; residual as input; weight and bias [C], both or none;
///              running_mean and running_var [C], both or none, but given in evaluation.
/// Dtype        float32 or float64; sums in float64, but for those that are left. Of an input of
///              bfloat16 weight, bias and statistics are float32.
/// Gradients    for input, weight, bias and residual; in training they flow through the statistics.
///              The running statistics get none.
/// Determinism  the same bits for every number of threads.
/// Throws       ShapeError, also for an option that disagrees, or in training on fewer than two
///              values a channel; DtypeError, DeviceError; Error if eps <= 0, momentum or
///              negative_slope is outside [0, 1], gelu comes with a negative_slope, or statistics
///              are missing. Then the running statistics are as before.
Tensor batch_norm2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                    Tensor& running_mean, Tensor& running_var, bool training = true,
                    const BatchNorm2dOptions& options = {}, const Tensor& residual = {});

}  // namespace cks
