#pragma once
#include "cks/layers/module.h"

namespace cks {

/// The functions of core/ops/activation.h as layers, for Sequential. Any shape; no parameters.

/// max(x, 0).
class ReLU : public Module {
 public:
  struct Options {};

  ReLU() = default;
  ReLU(Module* parent, std::string name, const Options& = {}) : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;
};

/// x above 0, negative_slope * x elsewhere.
class LeakyReLU : public Module {
 public:
  struct Options {
    double negative_slope = 0.01;
  };

  LeakyReLU() = default;
  explicit LeakyReLU(const Options& options) : options_(options) {}
  LeakyReLU(Module* parent, std::string name, const Options& options)
      : Module(parent, std::move(name)), options_(options) {}

  Tensor forward(const Tensor& input) override;
  std::string description() const override;

 private:
  Options options_;
};

/// 1 / (1 + exp(-x)).
class Sigmoid : public Module {
 public:
  struct Options {};

  Sigmoid() = default;
  Sigmoid(Module* parent, std::string name, const Options& = {})
      : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;
};

class Tanh : public Module {
 public:
  struct Options {};

  Tanh() = default;
  Tanh(Module* parent, std::string name, const Options& = {}) : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;
};

}  // namespace cks
