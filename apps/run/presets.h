#pragma once
#include <string>
#include <vector>

#include "apps/cli/flags.h"

namespace cks::apps {

/// A recipe that is named by --preset.
struct Preset {
  std::string name;
  std::string summary;
  FlagValues flags;
};

/// Those of train_cifar.
const std::vector<Preset>& cifar_presets();
/// Throws Error, listing all names, for an unknown one.
const Preset& cifar_preset(const std::string& name);

/// Sets the flags that did not stand on the command line and are not in `taken`, which goes before
/// them. Throws what Flags::set() throws.
void fill_in(Flags& parser, const FlagValues& values, const FlagValues& taken = {});

}  // namespace cks::apps
