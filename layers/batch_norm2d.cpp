#include "cks/layers/batch_norm2d.h"

#include "cks/core/ops/counter.h"
#include "cks/layers/check.h"
#include "cks/layers/init.h"

namespace cks {

BatchNorm2d::BatchNorm2d(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  layers::require_at_least(*this, "BatchNorm2d", "num_features", options.num_features, 1);
  if (!(options.eps > 0.0)) {
    throw Error(layers::title(*this, "BatchNorm2d") + ": eps must be above 0, got " +
                layers::number_text(options.eps));
  }
  if (!(options.momentum >= 0.0 && options.momentum <= 1.0)) {
    throw Error(layers::title(*this, "BatchNorm2d") + ": momentum must lie in [0, 1], got " +
                layers::number_text(options.momentum));
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
  if (options_.affine) {
    init::constant(weight, 1.0);
    init::constant(bias, 0.0);
  }
  init::constant(running_mean, 0.0);
  init::constant(running_var, 1.0);
  init::constant(num_batches_tracked, 0.0);
}

Tensor BatchNorm2d::forward(const Tensor& input) {
  Tensor output =
      batch_norm2d(input, weight, bias, running_mean, running_var, training(), options_);
  if (training()) {
    count_up_(num_batches_tracked);
  }
  return output;
}

std::string BatchNorm2d::description() const {
  std::string text = std::to_string(options_.num_features) + " channels";
  if (options_.eps != Options{}.eps) {
    text += ", eps " + layers::number_text(options_.eps);
  }
  if (options_.momentum != Options{}.momentum) {
    text += ", momentum " + layers::number_text(options_.momentum);
  }
  return options_.affine ? text : text + ", not affine";
}

}  // namespace cks
