#include "apps/cli/recipes.h"

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/cli/program.h"
#include "cks/core/io/file.h"
#include "cks/core/io/json_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

constexpr std::array kFlagsOfOneRun{"config", "output-dir", "resume"};

Json read_object(const std::string& path) {
  Json json;
  try {
    json = parse_json(read_file(path, kMostBytes));
  } catch (const Json::exception& error) {
    throw IoError(formatted("--config: {}: {}", path, error.what()));
  } catch (const IoError& error) {
    throw IoError(formatted("--config: {}", error.what()));
  }
  if (!json.is_object()) {
    throw IoError(
        formatted("--config: {}: is no JSON object of flags, such as {{\"epochs\": 5}}", path));
  }
  return json;
}

/// As it would stand on the command line.
std::string text_of(const Json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (value.is_number() || value.is_boolean()) {
    return value.dump();
  }
  throw Error("its value must be a text, a number, true or false");
}

/// Throws Error for a value that cannot be one of a flag.
FlagValues read_flags(const std::string& path) {
  const Json json = read_object(path);
  const auto section = json.find("flags");
  const bool is_run = section != json.end() && section->is_object();
  FlagValues values;
  for (const auto& [name, value] : (is_run ? *section : json).items()) {
    try {
      if (!contains(kFlagsOfOneRun, name)) {
        values.emplace(name, text_of(value));
      } else if (!is_run) {
        throw Error("it means one run and is not taken from a file");
      }
    } catch (const Error& error) {
      throw UsageError(formatted("--config: {}: flag --{}: {}", path, name, error.what()));
    }
  }
  return values;
}

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

void add_config_flag(Flags& parser, std::string& path) {
  parser.add_path(
      "config", path,
      "take the flags that are not given from a file: the config.json of a run, or JSON as "
      "{\"epochs\": 5}; all but --output-dir and --resume");
}

FlagValues take_config(Flags& parser, const std::string& path) {
  if (!parser.given("config")) {
    return {};
  }
  if (parser.given("resume")) {
    throw UsageError("--config does not go with --resume, which takes the flags from its folder");
  }
  FlagValues values = read_flags(path);
  for (const auto& [name, text] : values) {
    try {
      if (!parser.given(name)) {
        parser.set(name, text);
      }
    } catch (const Error& error) {
      throw UsageError(formatted("--config: {}: {}", path, error.what()));
    }
  }
  return values;
}

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
