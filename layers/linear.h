#pragma once
#include "cks/layers/module.h"

namespace cks {

/// Y = X * weight^T + bias for X [rows,in_features]; see linear() in core/ops/matmul.h.
///
/// Parameters   weight [out_features,in_features], bias [out_features] or undefined; as PyTorch.
/// Initialised  both uniform in +-1/sqrt(in_features), as PyTorch.
/// Throws       ShapeError from the constructor if a number of features is below 1.
class Linear : public Module {
 public:
  struct Options {
    std::int64_t in_features = 0;
    std::int64_t out_features = 0;
    bool bias = true;
  };

  explicit Linear(const Options& options) : Linear(nullptr, {}, options) {}
  Linear(Module* parent, std::string name, const Options& options);

  Tensor forward(const Tensor& input) override;
  std::string description() const override;
  const Options& options() const { return options_; }

  Tensor weight;
  Tensor bias;

 protected:
  void reset_parameters(std::uint64_t seed) override;

 private:
  Options options_;
};

}  // namespace cks
