#include "cks/layers/linear.h"

#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/base/options_impl.h"

namespace cks {

Linear::Linear(Module* parent, std::string name, const Options& options)
    : WeightLayer(parent, std::move(name), options) {
  const layers::OptionCheck check(*this, "Linear");
  check.at_least("in_features", options.in_features, 1);
  check.at_least("out_features", options.out_features, 1);
  check.in_unit_interval("negative_slope", options.negative_slope);
  make_weight_and_bias({options.out_features, options.in_features}, options.out_features,
                       StateLayout::as_is);
}

std::string Linear::description() const {
  return formatted("{} -> {}{}{}", options().in_features, options().out_features,
                   options().bias ? "" : ", no bias",
                   layers::activation_option(options().negative_slope));
}

}  // namespace cks
