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
class Concat : public Layer<Concat> {
 public:
  using Layer::Layer;

  /// A new branch, empty and thus the identity, named by its position unless a name is given.
  Sequential& add_branch(std::string name = {});

  Tensor forward(const Tensor& input) override;
  std::unique_ptr<Module> make_another(Module* parent, std::string name) const override;

 private:
  std::vector<std::unique_ptr<Sequential>> branches_;
};

}  // namespace cks
