#include "apps/cli/config_file.h"

#include <array>
#include <nlohmann/json.hpp>

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

}  // namespace cks::apps
