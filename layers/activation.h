#pragma once
#include "cks/layers/layer.h"

namespace cks {

/// The functions of core/ops/activation.h as layers, for Sequential. Any shape; no parameters.

/// max(x, 0).
class ReLU : public Layer<ReLU> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override;
};

struct LeakyReLUOptions {
  double negative_slope = 0.01;
};

/// x above 0, negative_slope * x elsewhere.
class LeakyReLU : public Layer<LeakyReLU, LeakyReLUOptions> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override;
  std::string description() const override;
};

/// 1 / (1 + exp(-x)).
class Sigmoid : public Layer<Sigmoid> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override;
};

class Tanh : public Layer<Tanh> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override;
};

}  // namespace cks
