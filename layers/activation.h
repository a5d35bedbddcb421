#pragma once
#include "cks/core/ops/activation.h"
#include "cks/layers/layer.h"

namespace cks {

/// The functions of core/ops/activation.h as layers, for Sequential. Any shape; no parameters.

/// max(x, 0).
class ReLU : public Layer<ReLU> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return relu(input); }
};

struct LeakyReLUOptions {
  double negative_slope = 0.01;
};

/// x above 0, negative_slope * x elsewhere.
class LeakyReLU : public Layer<LeakyReLU, LeakyReLUOptions> {
 public:
  using Layer::Layer;
  template <class Expected = Options>
  LeakyReLU(Module*, std::string, ...) = delete;  // for the error: see Layer
  Tensor forward(const Tensor& input) override {
    return leaky_relu(input, options().negative_slope);
  }
  std::string description() const override;
};

/// 1 / (1 + exp(-x)).
class Sigmoid : public Layer<Sigmoid> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return sigmoid(input); }
};

/// The hyperbolic tangent of each element.
class Tanh : public Layer<Tanh> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return tanh(input); }
};

/// x * Phi(x), Phi being the distribution of standard normal numbers.
class GELU : public Layer<GELU> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return gelu(input); }
};

}  // namespace cks
