#pragma once

namespace cks::testing {

/// Whether a sanitizer watches, which makes programs ten times slower and more: there less of the
/// same is asked of them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace cks::testing
