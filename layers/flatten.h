#pragma once
#include "cks/core/ops/rearrange.h"
#include "cks/layers/layer.h"

namespace cks {

/// Images [N,H,W,C] to rows [N,C*H*W], the channel being the slowest index: PyTorch's order, so
/// that the weights of a Linear behind it mean the same in both. No parameters.
class Flatten : public Layer<Flatten> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return flatten_chw(input); }
};

}  // namespace cks
