#include "cks/layers/loss.h"

#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {

CrossEntropyLoss::CrossEntropyLoss(Module* parent, std::string name, const Options& options)
    : Layer(parent, std::move(name), options) {
  layers::OptionCheck(*this, "CrossEntropyLoss")
      .in_unit_interval("label_smoothing", options.label_smoothing);
}

std::string CrossEntropyLoss::description() const {
  std::string text;
  if (options().label_smoothing != 0.0) {
    text = formatted("label smoothing {:g}", options().label_smoothing);
  }
  if (options().ignore_index) {
    text += formatted("{}ignores {}", text.empty() ? "" : ", ", *options().ignore_index);
  }
  return text;
}

}  // namespace cks
