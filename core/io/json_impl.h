#pragma once
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

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

/// Reads a number, a text or a truth value. Of an integer field no other number is taken for one:
/// the parser's own conversion cuts off fractions and wraps what is too large. Throws
/// nlohmann::json::exception.
template <class T>
void read_json(const nlohmann::json& json, T& field) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (!json.is_number_integer() || !std::in_range<T>(json.get<std::int64_t>()) ||
        (json.is_number_unsigned() && !std::in_range<T>(json.get<std::uint64_t>()))) {
      throw nlohmann::json::type_error::create(
          302, "expected an integer in range, got " + json.dump(), &json);
    }
  }
  json.get_to(field);
}
template <class T>
void read_json(const nlohmann::json& json, std::vector<T>& field) {
  for (const nlohmann::json& one : json.get_ref<const nlohmann::json::array_t&>()) {
    read_json(one, field.emplace_back());
  }
}

}  // namespace cks
