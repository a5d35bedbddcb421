#pragma once
#include <array>
#include <charconv>
#include <string>
#include <version>
#ifndef __cpp_lib_to_chars
#  include <cerrno>
#  include <clocale>
#  include <cmath>
#  include <cstdlib>
#  include <type_traits>
#endif

namespace cks::detail {

/// Shortest text that reads back as the same number; "inf" and "nan" included.
template <class Number>
std::string number_text(Number value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end.ptr};
}

#ifndef __cpp_lib_to_chars
/// parse_number() where from_chars reads whole numbers alone (libc++): strtod in the C locale,
/// without the blanks, the '+' and the hexadecimal digits that from_chars refuses.
template <class Real>
bool parse_real(const std::string& text, Real& value) {
  static const locale_t kLocale = newlocale(LC_ALL_MASK, "C", nullptr);
  if (text.empty() || text.find_first_of(" \t\n\v\f\r+") == 0 ||
      text.find_first_of("xX") != std::string::npos) {
    return false;
  }
  char* end = nullptr;
  errno = 0;
  if constexpr (std::is_same_v<Real, float>) {
    value = strtof_l(text.c_str(), &end, kLocale);
  } else {
    value = strtod_l(text.c_str(), &end, kLocale);
  }
  const bool fits = errno != ERANGE || (value != 0 && !std::isinf(value));
  return fits && end == text.c_str() + text.size();
}
#endif

/// Returns false unless the whole text is a number.
template <class Number>
bool parse_number(const std::string& text, Number& value) {
#ifndef __cpp_lib_to_chars
  if constexpr (std::is_floating_point_v<Number>) {
    return parse_real(text, value);
  } else
#endif
  {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  }
}

}  // namespace cks::detail
