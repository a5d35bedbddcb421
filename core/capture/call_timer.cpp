#include "cks/core/capture/call_timer.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "cks/core/device/cuda.h"

namespace cks {
namespace {

constexpr double kRoundSeconds = 2e-3;
constexpr double kMostCalls = 1000;  // nodes of a graph
constexpr std::size_t kLeastRounds = 5;

}  // namespace

CallTimer::CallTimer(Device device, std::function<void()> call)
    : device_(device),
      step_(
          [this, call = std::move(call)] {
            for (int i = 0; i < calls_; ++i) {
              call();
            }
          },
          device),
      timer_(device) {
  // A graph runs as it is for the first time and is recorded the second time.
  step_.run();
  step_.run();
  const double once = std::min(round(), round());
  calls_ = static_cast<int>(std::clamp(kRoundSeconds / once, 1.0, kMostCalls));
  step_.reset();
  step_.run();
  step_.run();
  synchronize(device_);
}

double CallTimer::round() {
  timer_.start();
  step_.run();
  timer_.stop();
  return timer_.seconds() / calls_;
}

CallTimes CallTimer::time(double seconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < kLeastRounds ||
         std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    times.push_back(1e6 * round());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

}  // namespace cks
