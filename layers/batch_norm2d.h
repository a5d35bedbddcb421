#pragma once
#include "cks/core/ops/batch_norm2d.h"
#include "cks/layers/layer.h"

namespace cks {

/// Batch normalisation of images [N,H,W,num_features], channel by channel: in training with the
/// batch's statistics, which also move the running ones; in evaluation with the running ones. See
/// batch_norm2d() in core/ops/batch_norm2d.h. options().negative_slope or .gelu adds an activation
/// to the pass, a second argument of the call a residual before it:
///
///   Tensor forward(const Tensor& x) override { return bn2(conv2(bn1(conv1(x))), x); }
///
/// Parameters   weight and bias [num_features], unless affine is false; at first 1 and 0.
/// Buffers      running_mean and running_var [num_features], at first 0 and 1;
///              num_batches_tracked, int64 scalar. Names as PyTorch's.
/// Throws       ShapeError from the constructor if num_features is below 1, Error if
///              eps or momentum is out of range; ShapeError from forward for other channels.
class BatchNorm2d : public Layer<BatchNorm2d, BatchNorm2dOptions> {
 public:
  explicit BatchNorm2d(const Options& options) : BatchNorm2d(nullptr, {}, options) {}
  BatchNorm2d(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  BatchNorm2d(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override { return forward(input, {}); }
  /// The same with `residual` [N, H, W, num_features] added before the activation; undefined: none.
  Tensor forward(const Tensor& input, const Tensor& residual);
  std::string description() const override;

  Tensor weight;
  Tensor bias;
  Tensor running_mean;
  Tensor running_var;
  Tensor num_batches_tracked;

 protected:
  void reset_parameters(std::uint64_t seed) override;
};

}  // namespace cks
