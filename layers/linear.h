#pragma once
#include "cks/layers/layer.h"

namespace cks {

struct LinearOptions {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  bool bias = true;
};

/// Y = X * weight^T + bias for X [...,in_features]; see linear() in core/conv/matmul.h.
///
/// Parameters   weight [out_features,in_features], bias [out_features] or undefined; as PyTorch.
/// Initialised  both uniform in +-1/sqrt(in_features), as PyTorch.
/// Throws       ShapeError from the constructor if a number of features is below 1.
class Linear : public WeightLayer<Linear, LinearOptions> {
 public:
  explicit Linear(const Options& options) : Linear(nullptr, {}, options) {}
  Linear(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  Linear(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override;
  std::string description() const override;
};

}  // namespace cks
