#pragma once
#include <fmt/core.h>

#include <algorithm>
#include <string>

namespace cks {
namespace detail {
/// What a message prints by its to_string() or, an enumerator, by its name_of().
template <class T>
concept Printable = requires(const T& value) {
  value.to_string();
}
|| requires(const T& value) { name_of(value); };
template <Printable T>
std::string print(const T& value) {
  if constexpr (requires { value.to_string(); }) {
    return value.to_string();
  } else {
    return name_of(value);
  }
}

/// fmt's formatter, compiled once: formatted.cpp is the only file that pays for its headers.
std::string format_arguments(fmt::string_view format, fmt::format_args arguments);
}  // namespace detail

/// The text of a message, in the notation of the fmt library, checked when it is compiled:
/// formatted("{} has {} channels", name, channels). For sources alone, never for public headers or
/// device code.
template <class... Arguments>
std::string formatted(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return detail::format_arguments(format, fmt::make_format_args(arguments...));
}

/// All items, with the separator between them: "a, b, c".
template <class Items>
std::string list_text(const Items& items, const char* separator = ", ") {
  std::string text;
  for (const auto& item : items) {
    text += formatted("{}{}", text.empty() ? "" : separator, item);
  }
  return text;
}

}  // namespace cks

template <cks::detail::Printable T>
struct fmt::formatter<T> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  auto format(const T& value, format_context& context) const {
    const std::string text = cks::detail::print(value);
    return std::copy(text.begin(), text.end(), context.out());
  }
};
