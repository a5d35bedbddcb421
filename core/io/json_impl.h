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

/// Of a text whose arrays and objects lie at most 32 deep in each other: what the library then does
/// with a value takes a piece of the stack for each, and a file's depth is its author's. Throws
/// nlohmann::json::exception.
inline nlohmann::json parse_json(std::string text) {
  using Json = nlohmann::json;
  constexpr int kMostDepth = 32;
  return Json::parse(with_visible_nul(std::move(text)), [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMostDepth) {
      throw Json::other_error::create(
          501, "nested more than " + std::to_string(kMostDepth) + " deep", nullptr);
    }
    return true;
  });
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
