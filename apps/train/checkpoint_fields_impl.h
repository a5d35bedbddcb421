#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/layers/module.h"

/// What files of weights and of training states share: texts beside tensors, and messages that name
/// the file.
namespace cks::detail {

using Metadata = std::map<std::string, std::string>;

auto with_file_name(const std::string& path, auto&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const StateDictError& error) {
    throw StateDictError(path + ": " + error.what());
  } catch (const IoError& error) {
    throw IoError(path + ": " + error.what());
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

inline const std::string* find(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

/// Those whose names begin with the prefix, without it.
inline NamedTensors with_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) {
      found.emplace_back(name.substr(prefix.size()), tensor);
    }
  }
  return found;
}

/// Throws Error, naming what is written, for a text that is not UTF-8.
inline std::string dump(const char* what, const nlohmann::json& json) {
  try {
    return json.dump();
  } catch (const nlohmann::json::type_error&) {
    throw Error(formatted("{} hold a text that is not UTF-8", what));
  }
}

}  // namespace cks::detail
