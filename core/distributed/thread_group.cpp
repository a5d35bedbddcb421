#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <numeric>
#include <thread>

#include "cks/core/distributed/host_group_impl.h"

// Ranks that are threads of one process.

namespace cks {
namespace {

std::vector<int> all_ranks(int ranks) {
  std::vector<int> all(static_cast<std::size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// What the ranks share.
class Board {
 public:
  Board(int ranks, double timeout_seconds)
      : outgoing(static_cast<std::size_t>(ranks)),
        watch(ranks, all_ranks(ranks), timeout_seconds),
        thread_([this] { keep_watch(); }) {}
  ~Board() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Returns once all ranks have called it.
  void meet(int rank) {
    const WaitingScope waiting(watch, rank);
    std::unique_lock lock(mutex_);
    const std::uint64_t mine = meetings_;
    if (++arrived_ == outgoing.size()) {
      arrived_ = 0;
      ++meetings_;
      changed_.notify_all();
      return;
    }
    while (meetings_ == mine) {
      changed_.wait_for(lock, Watch::kPeriod);
      watch.check();
    }
  }

  std::vector<HostGroup::Bytes> outgoing;  // of each rank
  Watch watch;

 private:
  void keep_watch() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      changed_.wait_for(lock, Watch::kPeriod);
      watch.judge();
      watch.end_if_stuck([] { _exit(1); });
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t arrived_ = 0;
  std::uint64_t meetings_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

class ThreadGroup : public HostGroup {
 public:
  ThreadGroup(std::shared_ptr<Board> board, int rank) : board_(std::move(board)) {
    rank_ = local_rank_ = rank;
    size_ = local_size_ = static_cast<int>(board_->outgoing.size());
  }
  ~ThreadGroup() override { board_->watch.set(rank_, RankState::left); }
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  const char* name() const override { return "threads"; }
  Watch& watch() override { return board_->watch; }
  Bytes& outgoing() override { return board_->outgoing[static_cast<std::size_t>(rank_)]; }

  void all_to_all(std::size_t chunk) override {
    take_all(chunk, static_cast<std::size_t>(rank_) * chunk);
  }
  void all_gather(std::size_t bytes) override { take_all(bytes, 0); }
  void broadcast(std::size_t bytes, int from) override {
    board_->meet(rank_);
    incoming_.resize(bytes);
    std::memcpy(incoming_.data(), board_->outgoing[static_cast<std::size_t>(from)].data(), bytes);
    board_->meet(rank_);
  }

 private:
  /// `bytes` of each rank's outgoing, from `offset` on.
  void take_all(std::size_t bytes, std::size_t offset) {
    board_->meet(rank_);
    incoming_.resize(bytes * board_->outgoing.size());
    for (std::size_t r = 0; r < board_->outgoing.size(); ++r) {
      std::memcpy(incoming_.data() + r * bytes, board_->outgoing[r].data() + offset, bytes);
    }
    board_->meet(rank_);
  }

  std::shared_ptr<Board> board_;
};

}  // namespace

std::vector<std::unique_ptr<HostGroup>> make_thread_groups(int ranks, const RankOptions& options) {
  const auto board = std::make_shared<Board>(ranks, options.timeout_seconds);
  std::vector<std::unique_ptr<HostGroup>> groups;
  groups.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    groups.push_back(std::make_unique<ThreadGroup>(board, rank));
  }
  return groups;
}

}  // namespace cks
