#include "apps/run/presets.h"

#include <sstream>

#include "apps/cli/program.h"
#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

/// "lr=0.1 flip=true".
FlagValues flags_of(const std::string& text) {
  FlagValues values;
  std::istringstream flags(text);
  for (std::string flag; flags >> flag;) {
    const std::size_t equals = flag.find('=');
    values.emplace(flag.substr(0, equals), flag.substr(equals + 1));
  }
  return values;
}

}  // namespace

const std::vector<Preset>& cifar_presets() {
  static const std::vector<Preset> all = {
      {"paper",
       "the C-K-S paper's: Adam 1e-3, batch 512, 20 epochs, no augmentation; with ResNet-18, or "
       "--model",
       flags_of("model=resnet18 opt=adam lr=0.001 lr-scheduler=constant batch-size=512 "
                "drop-last=true epochs=20")},
      {"resnet18-30",
       "ResNet-18 with the 3x3 stem, 30 epochs: SGD with Nesterov momentum, one cycle to 0.4, "
       "weight decay 5e-4, batch 512, crop and flip",
       flags_of(
           "model=resnet18_3x3stem opt=sgd nesterov=true wd=0.0005 lr=0.4 lr-scheduler=onecycle "
           "cycle-momentum=true batch-size=512 drop-last=true epochs=30 augment=true")},
      {"resnet20",
       "ResNet-20, 30 epochs, for a CPU or a GPU: SGD with Nesterov momentum 0.9, one cycle to "
       "0.2, weight decay 5e-4, batch 128, crop and flip",
       flags_of("model=resnet20 opt=sgd nesterov=true momentum=0.9 wd=0.0005 lr=0.2 "
                "lr-scheduler=onecycle batch-size=128 epochs=30 augment=true")},
      {"pictures",
       "for a folder of some hundred pictures of your own: ResNet-20, Adam, one cycle to 0.001, "
       "batch 16, 60 epochs, crop and flip",
       flags_of("model=resnet20 opt=adam lr=0.001 lr-scheduler=onecycle batch-size=16 epochs=60 "
                "augment=true")},
  };
  return all;
}

const Preset& cifar_preset(const std::string& name) {
  for (const Preset& preset : cifar_presets()) {
    if (preset.name == name) {
      return preset;
    }
  }
  throw Error(formatted("preset \"{}\" does not exist; there are {}", name,
                        list_text(mapped(cifar_presets(), &Preset::name))));
}

void fill_in(Flags& parser, const FlagValues& values, const FlagValues& taken) {
  for (const auto& [name, text] : values) {
    if (!parser.given(name) && taken.count(name) == 0) {
      parser.set(name, text);
    }
  }
}

}  // namespace cks::apps
