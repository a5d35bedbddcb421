#pragma once
#include <string>
#include <vector>

#include "apps/cli/flags.h"

/// What sets the flags that did not stand on the command line: --config and --preset.
namespace cks::apps {

/// Adds --config.
void add_config_flag(Flags& parser, std::string& path);

/// Sets the flags that did not stand on the command line to what the JSON file of --config says:
/// an object of flags, {"epochs": 5, "opt": "sgd", "nesterov": true}, or the config.json of a run,
/// whose section "flags" is one. The flags that mean one run, --config, --output-dir and --resume,
/// are passed over in a config.json and refused elsewhere. Returns what was taken, given flags
/// included; nothing without --config.
///
/// Throws  IoError     the file cannot be read, or is no JSON object.
///         UsageError  naming the file, for a key that is no flag and for a value that is not
///                     lawful, unless that flag was given; for --config beside --resume.
FlagValues take_config(Flags& parser, const std::string& path);

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
