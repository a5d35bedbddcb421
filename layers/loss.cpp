#include "cks/layers/loss.h"

#include "cks/core/profile/module_path.h"
#include "cks/layers/check.h"

namespace cks {

CrossEntropyLoss::CrossEntropyLoss(Module* parent, std::string name, const Options& options)
    : Module(parent, std::move(name)), options_(options) {
  if (!(options.label_smoothing >= 0.0 && options.label_smoothing <= 1.0)) {
    throw Error(layers::title(*this, "CrossEntropyLoss") +
                ": label_smoothing must lie in [0, 1], got " +
                layers::number_text(options.label_smoothing));
  }
}

Tensor CrossEntropyLoss::operator()(const Tensor& logits, const Tensor& labels) const {
  return in_module(path(), [&] { return cross_entropy(logits, labels, options_); });
}

std::string CrossEntropyLoss::description() const {
  return options_.label_smoothing == 0.0
             ? std::string()
             : "label smoothing " + layers::number_text(options_.label_smoothing);
}

Tensor MSELoss::operator()(const Tensor& input, const Tensor& target) const {
  return in_module(path(), [&] { return mse_loss(input, target); });
}

}  // namespace cks
