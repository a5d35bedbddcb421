#pragma once
#include "cks/core/ops/pool2d.h"
#include "cks/layers/module.h"

namespace cks {

/// The poolings of core/ops/pool2d.h as layers. Images [N,H,W,C]; no parameters.
/// Constructors throw ShapeError if an option is out of range.

/// The largest element of each window; padding never wins.
class MaxPool2d : public Module {
 public:
  using Options = MaxPool2dOptions;

  MaxPool2d() : MaxPool2d(Options{}) {}
  explicit MaxPool2d(const Options& options) : MaxPool2d(nullptr, {}, options) {}
  MaxPool2d(Module* parent, std::string name, const Options& options);

  Tensor forward(const Tensor& input) override;
  std::string description() const override;

 private:
  Options options_;
};

/// The mean of each window.
class AvgPool2d : public Module {
 public:
  using Options = AvgPool2dOptions;

  AvgPool2d() : AvgPool2d(Options{}) {}
  explicit AvgPool2d(const Options& options) : AvgPool2d(nullptr, {}, options) {}
  AvgPool2d(Module* parent, std::string name, const Options& options);

  Tensor forward(const Tensor& input) override;
  std::string description() const override;

 private:
  Options options_;
};

/// The mean of each channel over the whole image: [N,H,W,C] -> [N,1,1,C].
class GlobalAvgPool2d : public Module {
 public:
  struct Options {};

  GlobalAvgPool2d() = default;
  GlobalAvgPool2d(Module* parent, std::string name, const Options& = {})
      : Module(parent, std::move(name)) {}

  Tensor forward(const Tensor& input) override;
};

}  // namespace cks
