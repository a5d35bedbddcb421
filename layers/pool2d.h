#pragma once
#include "cks/core/ops/pool2d.h"
#include "cks/layers/layer.h"

namespace cks {

/// The poolings of core/ops/pool2d.h as layers. Images [N,H,W,C]; no parameters.
/// Constructors throw ShapeError if an option is out of range.

/// The largest element of each window; padding never wins.
class MaxPool2d : public Layer<MaxPool2d, MaxPool2dOptions> {
 public:
  explicit MaxPool2d(const Options& options = {}) : MaxPool2d(nullptr, {}, options) {}
  MaxPool2d(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  MaxPool2d(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override { return max_pool2d(input, options()); }
  std::string description() const override;
};

/// The mean of each window.
class AvgPool2d : public Layer<AvgPool2d, AvgPool2dOptions> {
 public:
  explicit AvgPool2d(const Options& options = {}) : AvgPool2d(nullptr, {}, options) {}
  AvgPool2d(Module* parent, std::string name, const Options& options = {});
  template <class Expected = Options>
  AvgPool2d(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override { return avg_pool2d(input, options()); }
  std::string description() const override;
};

/// The mean of each channel over the whole image: [N,H,W,C] -> [N,1,1,C].
class GlobalAvgPool2d : public Layer<GlobalAvgPool2d> {
 public:
  using Layer::Layer;
  Tensor forward(const Tensor& input) override { return global_avg_pool2d(input); }
};

}  // namespace cks
