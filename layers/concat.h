#pragma once
#include "cks/layers/sequential.h"

namespace cks {

/// Feeds one input to several branches and joins their results [N,H,W,C_i] on the channels, in the
/// order in which the branches were added.
///
///   Concat inception(&net, "inception");
///   inception.add_branch().add<Conv2d>({.in_channels = 8, .out_channels = 4, .kernel_size = 1});
///   inception.add_branch("pool").add<MaxPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
///
/// Throws   Error from forward if there is no branch; ShapeError if the branches disagree in an
///          extent other than the channels.
class Concat : public Module {
 public:
  struct Options {};

  Concat() = default;
  Concat(Module* parent, std::string name, const Options& = {}) : Module(parent, std::move(name)) {}

  /// A new branch, empty and thus the identity, named by its position unless a name is given.
  Sequential& add_branch(std::string name = {});

  Tensor forward(const Tensor& input) override;

 private:
  std::vector<std::unique_ptr<Sequential>> branches_;
};

}  // namespace cks
