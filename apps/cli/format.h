#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

namespace cks::apps {

/// As printf, into a string of at most 511 characters.
template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 512> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), pattern, values...);
  return {buffer.data(),
          std::min(static_cast<std::size_t>(std::max(length, 0)), buffer.size() - 1)};
}

}  // namespace cks::apps
