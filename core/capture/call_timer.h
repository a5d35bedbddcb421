#pragma once
#include <functional>

#include "cks/core/capture/capture.h"
#include "cks/core/profile/device_timer.h"

namespace cks {

/// Microseconds of one call, over several rounds.
struct CallTimes {
  double median_us = 0.0;
  double min_us = 0.0;
  double max_us = 0.0;
};

/// Times a call that queues the same work every time. A round is many calls in a row, enough to
/// last milliseconds: on a CUDA device one launch of a CUDA graph that holds them all, between two
/// events, so that the host does not show in it.
class CallTimer {
 public:
  /// `call` must keep to the rules of a captured step. Runs it a few times.
  CallTimer(Device device, std::function<void()> call);

  /// Runs rounds for at least `seconds`, five at the least.
  CallTimes time(double seconds);

 private:
  double round();  // seconds of one call

  Device device_;
  int calls_ = 1;  // of a round
  CapturedStep step_;
  DeviceTimer timer_;
};

}  // namespace cks
