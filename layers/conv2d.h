#pragma once
#include "cks/core/conv/conv2d.h"
#include "cks/layers/layer.h"

namespace cks {

/// Convolution of images [N,IH,IW,in_channels] with a bank of filters: see conv2d() in
/// core/conv/conv2d.h for the formula and the result's shape.
///
/// Parameters   weight [out_channels,FH,FW,in_channels/groups], bias [out_channels] or undefined.
///              state_dict: "weight" as [out_channels,in_channels/groups,FH,FW], "bias".
/// Initialised  both uniform in +-1/sqrt(fan_in), fan_in = in_channels/groups * FH*FW, as PyTorch.
/// Throws       ShapeError from the constructor if an option is out of range.
class Conv2d : public WeightLayer<Conv2d, Conv2dOptions> {
 public:
  explicit Conv2d(const Options& options) : Conv2d(nullptr, {}, options) {}
  Conv2d(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  Conv2d(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override { return conv2d(input, weight, bias, options()); }
  std::string description() const override;
};

/// Transposed convolution of images [N,H,W,in_channels]: see conv_transpose2d() in
/// core/conv/conv2d.h for the formula and the result's shape.
///
/// Parameters   weight [in_channels,FH,FW,out_channels/groups], bias [out_channels] or undefined.
///              state_dict: "weight" as [in_channels,out_channels/groups,FH,FW], "bias".
/// Initialised  both uniform in +-1/sqrt(fan), fan = out_channels/groups * FH*FW, as PyTorch.
/// Throws       ShapeError from the constructor if an option is out of range.
class ConvTranspose2d : public WeightLayer<ConvTranspose2d, ConvTranspose2dOptions> {
 public:
  explicit ConvTranspose2d(const Options& options) : ConvTranspose2d(nullptr, {}, options) {}
  ConvTranspose2d(Module* parent, std::string name, const Options& options);
  template <class Expected = Options>
  ConvTranspose2d(Module*, std::string, ...) = delete;  // for the error: see Layer

  Tensor forward(const Tensor& input) override {
    return conv_transpose2d(input, weight, bias, options());
  }
  std::string description() const override;
};

}  // namespace cks
