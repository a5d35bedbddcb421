#pragma once
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace cks::testing {

/// Whether a sanitizer watches, which makes programs ten times slower and more: there less of the
/// same is asked of them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// One problem of so many stands for the others, where a run is slow: under sanitizers, and on an
/// emulated processor (CKS_TEST_EVERY in the environment).
inline std::uint64_t every() {
#if defined(__SANITIZE_ADDRESS__)
  return 16;
#elif defined(__SANITIZE_THREAD__)
  return 200;
#else
  const char* const variable = std::getenv("CKS_TEST_EVERY");
  return variable == nullptr ? 1 : std::stoull(variable);
#endif
}

/// Whether this process takes the next of the cases that several share: CKS_TEST_SHARD=2/8 in the
/// environment takes the third of every eight.
inline bool takes_next_case() {
  static const auto [share, shares] = [] {
    const char* const variable = std::getenv("CKS_TEST_SHARD");
    const std::string text(variable == nullptr ? "0/1" : variable);
    std::uint64_t first = 1, second = 0;
    char slash = '\0', more = '\0';
    std::istringstream words(text);
    const bool is_read = words >> first >> slash >> second && !(words >> more);
    if (!is_read || slash != '/' || first >= second) {  // or tests would pass that test nothing
      throw std::invalid_argument("CKS_TEST_SHARD must be K/N with K below N, got '" + text + "'");
    }
    return std::pair(first, second);
  }();
  static std::uint64_t next = 0;
  return next++ % shares == share;
}

}  // namespace cks::testing
