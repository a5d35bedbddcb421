#include "apps/run/start.h"

#include "apps/cli/program.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/train/checkpoint.h"
#include "cks/train/freeze.h"

namespace cks::apps {
namespace {

std::string describe(const std::string& path, const InitialWeights& weights) {
  std::string text = formatted("weights   from {}: {} tensors", path, weights.loaded);
  if (!weights.prefix.empty()) {
    text += formatted(" (behind the prefix \"{}\")", weights.prefix);
  }
  if (!weights.left_out.empty()) {
    text += "; left as drawn: " + list_text(weights.left_out);
  }
  if (!weights.unused.empty()) {
    text += "; not used: " + list_text(weights.unused);
  }
  return text;
}

}  // namespace

std::vector<std::string> prepare_weights(const TrainFlags& flags, Module& model) {
  std::vector<std::string> lines;
  if (!flags.init_weights.empty() && !flags.resume) {
    lines.push_back(describe(flags.init_weights, load_initial_weights(flags.init_weights, model)));
  }
  if (!flags.freeze.empty()) {
    const std::vector<std::string> frozen = freeze(model, flags.freeze);
    std::int64_t trained = 0;
    for (const Tensor& parameter : model.parameters()) {
      trained += parameter.requires_grad() ? parameter.numel() : 0;
    }
    lines.push_back(formatted("frozen    {}: {} tensors; of {} parameters {} are trained",
                              flags.freeze, frozen.size(), with_commas(model.num_parameters()),
                              with_commas(trained)));
  }
  return lines;
}

}  // namespace cks::apps
