#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace cks {

/// JSON from a text. The parser takes a NUL for the end of its input and ignores what is behind it;
/// here one is the fault that it is. Throws nlohmann::json::exception.
inline nlohmann::json parse_json(std::string text) {
  std::replace(text.begin(), text.end(), '\0', '\1');  // no JSON has either
  return nlohmann::json::parse(text);
}

}  // namespace cks
