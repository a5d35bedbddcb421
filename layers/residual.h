#pragma once
#include "cks/layers/sequential.h"

namespace cks {

/// main(x) + shortcut(x). An empty shortcut is the identity.
///
///   Residual block(&net, "block");
///   block.main.add<Conv2d>({.in_channels = 8, .out_channels = 8, .kernel_size = 3, .padding = 1});
///
/// Throws   ShapeError, naming both shapes, if the branches disagree.
class Residual : public Module {
 public:
  struct Options {};

  Residual() = default;
  Residual(Module* parent, std::string name, const Options& = {})
      : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;

  Sequential main{this, "main"};
  Sequential shortcut{this, "shortcut"};
};

}  // namespace cks
