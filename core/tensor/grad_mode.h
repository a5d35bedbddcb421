#pragma once
#include "cks/core/scoped_value.h"

namespace cks {

/// Whether operations are recorded on this thread. On at first.
bool grad_enabled();

/// Switches recording off (or on) on this thread until the end of the scope.
class GradMode : ScopedValue<bool> {
 public:
  explicit GradMode(bool enabled);
};

/// Nothing is recorded in its scope.
class NoGradGuard : public GradMode {
 public:
  NoGradGuard() : GradMode(false) {}
};

}  // namespace cks
