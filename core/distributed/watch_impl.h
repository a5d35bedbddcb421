#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace cks {

/// What a rank does: something of its own, or wait for the others in an operation.
enum class RankState : std::int32_t { working, waiting, excused, left };

/// Who of the ranks is alive and how far; decides when to give them up. The ranks of this process
/// write it themselves, a thread of the process hears of the others and judges.
class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPeriod{100};  // of the thread

  /// Of the ranks `local` live in this process.
  Watch(int ranks, std::vector<int> local, double timeout_seconds);

  // --- By a rank of this process ---------------------------------------------------------------
  /// Waiting begins the rank's next operation; working again and again shows that it gets on.
  void set(int rank, RankState state);
  /// The first reason stays.
  void fail(const std::string& why);
  bool failed() const { return failed_.load(); }
  /// Throws RankError once the group is given up.
  void check() const;
  std::string why() const;

  // --- By the thread ---------------------------------------------------------------------------
  struct Sign {
    std::int64_t operation = 0;
    std::int64_t changes = 0;
    RankState state = RankState::working;
  };
  Sign sign_of(int rank) const;
  void hear(int rank, const Sign& sign);
  /// Gives the group up if a rank is silent or late.
  void judge();
  /// Whether `rank` alone is silent, for those who hear of nobody else.
  void judge_silence(int rank);
  bool all_left() const;
  /// Says why, and calls end(), if ranks of this process have not noticed for a while that the
  /// group is given up.
  void end_if_stuck(const std::function<void()>& end) const;

 private:
  struct Entry {
    Sign sign;
    Clock::time_point since = Clock::now();  // the sign changed
    Clock::time_point heard = Clock::now();
  };
  bool is_older(Clock::time_point time) const;
  void fail_locked(const std::string& why);
  void judge_silence_locked(int rank);

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  const std::vector<int> local_;
  const double timeout_;
  std::string why_;
  Clock::time_point failed_at_{};
  std::atomic<bool> failed_{false};
};

/// In an operation that ends when all ranks have come.
class WaitingScope {
 public:
  WaitingScope(Watch& watch, int rank) : watch_(watch), rank_(rank) {
    watch_.check();
    watch_.set(rank_, RankState::waiting);
  }
  ~WaitingScope() { watch_.set(rank_, RankState::working); }
  WaitingScope(const WaitingScope&) = delete;
  WaitingScope& operator=(const WaitingScope&) = delete;

 private:
  Watch& watch_;
  int rank_;
};

}  // namespace cks
