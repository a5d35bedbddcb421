#include "cks/layers/batch_norm2d.h"

#include "cks/core/ops/forward_pass.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {

BatchNorm2d::BatchNorm2d(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  const layers::OptionCheck check(*this, "BatchNorm2d");
  check.at_least("num_features", options.num_features, 1);
  check.above_zero("eps", options.eps);
  check.in_unit_interval("momentum", options.momentum);
  check.in_unit_interval("negative_slope", options.negative_slope);
  if (options.gelu && options.negative_slope != 1.0) {
    check.fail("gelu and negative_slope exclude each other");
  }
  const Shape channels{options.num_features};
  if (options.affine) {
    register_parameter("weight", weight, Tensor::empty(channels));
    register_parameter("bias", bias, Tensor::empty(channels));
  }
  register_buffer("running_mean", running_mean, Tensor::empty(channels));
  register_buffer("running_var", running_var, Tensor::empty(channels));
  register_buffer("num_batches_tracked", num_batches_tracked, Tensor::empty({}, DType::int64));
  BatchNorm2d::reset_parameters(0);
}

void BatchNorm2d::reset_parameters(std::uint64_t) {
  if (options().affine) {
    init::constant(weight, 1.0);
    init::constant(bias, 0.0);
  }
  init::constant(running_mean, 0.0);
  init::constant(running_var, 1.0);
  init::constant(num_batches_tracked, 0.0);
}

Tensor BatchNorm2d::forward(const Tensor& input, const Tensor& residual) {
  Tensor output =
      batch_norm2d(input, weight, bias, running_mean, running_var, training(), options(), residual);
  if (training()) {
    ForwardPass::count_at_end(num_batches_tracked);
  }
  return output;
}

std::string BatchNorm2d::description() const {
  const Options standard;
  std::string text = formatted("{} channels", options().num_features);
  if (options().eps != standard.eps) {
    text += formatted(", eps {:g}", options().eps);
  }
  if (options().momentum != standard.momentum) {
    text += formatted(", momentum {:g}", options().momentum);
  }
  text += options().affine ? "" : ", not affine";
  return text + (options().gelu ? ", GELU" : layers::activation_option(options().negative_slope));
}

}  // namespace cks
