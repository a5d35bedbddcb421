#pragma once
#include <array>
#include <charconv>
#include <string>

namespace cks::detail {

/// Shortest text that reads back as the same number; "inf" and "nan" included.
template <class Number>
std::string number_text(Number value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end.ptr};
}

/// Returns false unless the whole text is a number.
template <class Number>
bool parse_number(const std::string& text, Number& value) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

}  // namespace cks::detail
