#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cks/core/distributed/communicator.h"
#include "cks/core/distributed/watch_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {
namespace {

constexpr std::chrono::seconds kGrace{2};  // until a process that does not notice is ended

double seconds_since(Watch::Clock::time_point time) {
  return std::chrono::duration<double>(Watch::Clock::now() - time).count();
}

}  // namespace

Watch::Watch(int ranks, std::vector<int> local, double timeout_seconds)
    : entries_(static_cast<std::size_t>(ranks)),
      local_(std::move(local)),
      timeout_(timeout_seconds) {
  if (!(timeout_seconds >= 1.0)) {
    throw Error(formatted("ranks: timeout_seconds is {:g}, expected at least 1", timeout_seconds));
  }
}

void Watch::set(int rank, RankState state) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(static_cast<std::size_t>(rank));
  entry.sign.state = state;
  ++entry.sign.changes;
  entry.sign.operation += state == RankState::waiting ? 1 : 0;
  entry.since = Clock::now();
}

void Watch::fail(const std::string& why) {
  const std::lock_guard lock(mutex_);
  fail_locked(why);
}

void Watch::fail_locked(const std::string& why) {
  if (!failed_.load()) {
    why_ = why;
    failed_at_ = Clock::now();
    failed_.store(true);
  }
}

void Watch::check() const {
  if (failed()) {
    throw RankError(why());
  }
}

std::string Watch::why() const {
  const std::lock_guard lock(mutex_);
  return why_;
}

Watch::Sign Watch::sign_of(int rank) const {
  const std::lock_guard lock(mutex_);
  return entries_.at(static_cast<std::size_t>(rank)).sign;
}

void Watch::hear(int rank, const Sign& sign) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(static_cast<std::size_t>(rank));
  entry.heard = Clock::now();
  if (entry.sign.changes != sign.changes) {
    entry.sign = sign;
    entry.since = entry.heard;
  }
}

bool Watch::is_older(Clock::time_point time) const { return seconds_since(time) > timeout_; }

void Watch::judge_silence_locked(int rank) {
  const Entry& entry = entries_.at(static_cast<std::size_t>(rank));
  if (entry.sign.state != RankState::left && !contains(local_, rank) && is_older(entry.heard)) {
    fail_locked(
        formatted("rank {} has given no sign of life for {:.1f} s: its process or its "
                  "machine has died or hangs",
                  rank, seconds_since(entry.heard)));
  }
}

void Watch::judge_silence(int rank) {
  const std::lock_guard lock(mutex_);
  judge_silence_locked(rank);
}

void Watch::judge() {
  const std::lock_guard lock(mutex_);
  const int ranks = static_cast<int>(entries_.size());
  std::int64_t awaited = 0;  // greatest operation in which a rank has waited for too long
  for (int rank = 0; rank < ranks; ++rank) {
    judge_silence_locked(rank);
    const Entry& entry = entries_[static_cast<std::size_t>(rank)];
    if (entry.sign.state == RankState::waiting && is_older(entry.since)) {
      awaited = std::max(awaited, entry.sign.operation);
    }
  }
  for (int rank = 0; rank < ranks; ++rank) {
    const Entry& entry = entries_[static_cast<std::size_t>(rank)];
    if (entry.sign.operation >= awaited || !is_older(entry.since)) {
      continue;
    }
    if (entry.sign.state == RankState::left) {
      fail_locked(formatted("rank {} has ended while others wait for it", rank));
    } else if (entry.sign.state == RankState::working) {
      fail_locked(formatted("rank {} hangs or is late: others have waited for it for {:g} s", rank,
                            timeout_));
    }
  }
}

bool Watch::all_left() const {
  const std::lock_guard lock(mutex_);
  return all_of(entries_, [](const Entry& entry) { return entry.sign.state == RankState::left; });
}

void Watch::end_if_stuck(const std::function<void()>& end) const {
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    const bool noticed = all_of(local_, [&](int rank) {
      return entries_[static_cast<std::size_t>(rank)].sign.state == RankState::left;
    });
    if (!failed() || noticed || Clock::now() - failed_at_ < kGrace) {
      return;
    }
    text = "error: " + why_ + "\n";
  }
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  end();
}

}  // namespace cks
