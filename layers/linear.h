#pragma once
#include "cks/core/conv/matmul.h"
#include "cks/layers/layer.h"

namespace cks {

struct LinearOptions {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  bool bias = true;
  double negative_slope = 1.0;  // of an activation at the end; 1: none; 0: ReLU
};

/// Y = X * weight^T + bias, and the activation if there is one, for X [...,in_features]; see
/// linear() in core/conv/matmul.h.
///
/// Parameters   weight [out_features,in_features], bias [out_features] or undefined; as PyTorch.
/// Initialised  both uniform in +-1/sqrt(in_features), as PyTorch.
/// Throws       from the constructor ShapeError if a number of features is below 1, Error unless
///              negative_slope lies in [0, 1].
class Linear : public WeightLayer<Linear, LinearOptions> {
 public:
  explicit Linear(const Options& options) : Linear(nullptr, {}, options) {}
  Linear(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  Linear(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override {
    return linear(input, weight, bias, options().negative_slope);
  }
  std::string description() const override;
};

}  // namespace cks
