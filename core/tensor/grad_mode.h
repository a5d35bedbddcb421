#pragma once

namespace cks {

/// Whether operations are recorded on this thread. On at first.
bool grad_enabled();

/// Switches recording off (or on) on this thread until the end of the scope.
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// Nothing is recorded in its scope.
class NoGradGuard : public GradMode {
 public:
  NoGradGuard() : GradMode(false) {}
};

}  // namespace cks
