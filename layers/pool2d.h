#pragma once
#include "cks/kernels/conv2d/problem.h"
#include "cks/layers/module.h"

namespace cks {

/// The poolings of core/ops/pool2d.h as layers. Images [N,H,W,C]; no parameters.
/// Constructors throw ShapeError if an option is out of range.

/// The largest element of each window; padding never wins.
class MaxPool2d : public Module {
 public:
  struct Options {
    Size2 kernel_size = 2;
    Size2 stride = 0;  // 0: the window's size
    Padding2d padding = 0;
    Size2 dilation = 1;
  };

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
  struct Options {
    Size2 kernel_size = 2;
    Size2 stride = 0;  // 0: the window's size
    Padding2d padding = 0;
    bool count_include_pad = true;  // padding counts as zeros; otherwise only pixels are averaged
  };

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
