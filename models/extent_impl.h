#pragma once
#include <cstdint>

#include "cks/core/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::models {

/// Throws ShapeError unless an option is at least `least` and small enough for its cube to be a
/// number: what is computed from it then is one, too.
inline void require_extent(const char* model, const char* option, std::int64_t value,
                           std::int64_t least) {
  constexpr std::int64_t kMost = std::int64_t{1} << 20;
  if (value < least || value > kMost) {
    throw ShapeError(formatted("{}: {} must be at {} {}, got {}", model, option,
                               value < least ? "least" : "most", value < least ? least : kMost,
                               value));
  }
}

}  // namespace cks::models
