#pragma once
#include "cks/core/distributed/communicator.h"
#include "cks/core/ops/batch_norm2d.h"

namespace cks::ops {

/// batch_norm2d() in training with the statistics of a batch that all ranks share, of which `input`
/// is this rank's part; its arguments have been checked. Gradients for weight and bias are those of
/// this part: their sum over the ranks is the whole batch's.
Tensor shared_batch_norm(const Tensor& input, const Tensor& weight, const Tensor& bias,
                         Tensor& running_mean, Tensor& running_var,
                         const BatchNorm2dOptions& options, Communicator& ranks);

}  // namespace cks::ops
