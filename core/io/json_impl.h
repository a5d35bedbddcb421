#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace cks {

/// A text for the parser, which takes a NUL for the end of its input and ignores what is behind it:
/// now it is the fault that it is.
inline std::string with_visible_nul(std::string text) {
  std::replace(text.begin(), text.end(), '\0', '\1');  // no JSON has either
  return text;
}

/// Throws nlohmann::json::exception.
inline nlohmann::json parse_json(std::string text) {
  return nlohmann::json::parse(with_visible_nul(std::move(text)));
}

}  // namespace cks
