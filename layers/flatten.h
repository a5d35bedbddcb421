#pragma once
#include "cks/layers/module.h"

namespace cks {

/// Images [N,H,W,C] to rows [N,C*H*W], the channel being the slowest index: PyTorch's order, so
/// that the weights of a Linear behind it mean the same in both. No parameters.
class Flatten : public Module {
 public:
  struct Options {};

  Flatten() = default;
  Flatten(Module* parent, std::string name, const Options& = {})
      : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;
};

}  // namespace cks
