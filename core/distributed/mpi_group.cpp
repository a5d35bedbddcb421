#include <mpi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <optional>
#include <thread>

#include "cks/core/distributed/host_group_impl.h"
#include "cks/kernels/common/formatted_impl.h"

// Ranks that are processes, over MPI. Collectives are begun and asked about until they are done, so
// that a rank that never comes ends them with an exception; a second thread exchanges the signs of
// life over a communicator of its own.

namespace cks {
namespace {

void require(int status, const char* call) {
  if (status != MPI_SUCCESS) {
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(status, text.data(), &length);
    throw Error(formatted("{}: {}", call, text.data()));
  }
}

int as_count(std::size_t bytes) {
  if (bytes > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(formatted("MPI: {} bytes at once, its counts end at 2^31 - 1", bytes));
  }
  return static_cast<int>(bytes);
}

/// Whether this process may take leave of the others; one that failed ends without.
std::atomic<bool> may_finalize{true};

/// MPI from the first use to the end of the process.
struct Library {
  Library() {
    int provided = 0;
    require(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_MULTIPLE) {
      throw Error("MPI: this library does not allow calls from several threads at once");
    }
  }
  ~Library() {
    if (may_finalize) {
      MPI_Finalize();
    }
  }
};

/// What a rank tells rank 0, and rank 0 each of them.
struct Message {
  enum class Kind : std::int32_t { alive, failed, bye };
  Kind kind = Kind::alive;
  Watch::Sign sign{};
  std::array<char, 480> why{};  // if failed

  void set_failed(const std::string& text) {
    kind = Kind::failed;
    std::copy_n(text.begin(), std::min(text.size(), why.size() - 1), why.begin());
  }
};

bool is_done(MPI_Request& request) {
  int done = 0;
  require(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

/// One direction to or from another rank: a message on its way.
struct Line {
  Message message{};
  MPI_Request request = MPI_REQUEST_NULL;
};

class MpiGroup : public HostGroup {
 public:
  MpiGroup(int expected, const RankOptions& options) {
    static const Library library;
    require(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    require(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    if (size_ != expected) {
      throw Error(formatted(
          "MPI: {} processes were started together, but MPI sees {}; start them with the mpirun of "
          "the MPI that this build uses, or with srun --mpi=pmix",
          expected, size_));
    }
    MPI_Comm machine{};
    require(
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine),
        "MPI_Comm_split_type");
    MPI_Comm_rank(machine, &local_rank_);
    MPI_Comm_size(machine, &local_size_);
    MPI_Comm_free(&machine);
    for (MPI_Comm* made : {&data_, &signs_}) {
      require(MPI_Comm_dup(MPI_COMM_WORLD, made), "MPI_Comm_dup");
      require(MPI_Comm_set_errhandler(*made, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    }
    watch_.emplace(size_, std::vector<int>{rank_}, options.timeout_seconds);
    const std::size_t partners = rank_ == 0 ? static_cast<std::size_t>(size_) : 1;
    to_.resize(partners);
    from_.resize(partners);
    said_bye_.resize(partners, false);
    thread_ = std::thread([this] { keep_watch(); });
  }

  ~MpiGroup() override {
    watch_->set(rank_, RankState::left);
    thread_.join();
    if (watch_->failed()) {
      may_finalize = false;
    }
  }

  const char* name() const override { return "MPI"; }
  Watch& watch() override { return *watch_; }
  Bytes& outgoing() override { return outgoing_; }

  void all_to_all(std::size_t chunk) override { exchange(MPI_Ialltoall, "MPI_Ialltoall", chunk); }
  void all_gather(std::size_t bytes) override { exchange(MPI_Iallgather, "MPI_Iallgather", bytes); }
  void broadcast(std::size_t bytes, int from) override {
    incoming_ = outgoing_;
    incoming_.resize(bytes);
    MPI_Request request{};
    require(MPI_Ibcast(incoming_.data(), as_count(bytes), MPI_BYTE, from, data_, &request),
            "MPI_Ibcast");
    wait(request);
  }

 private:
  /// `bytes` to and from each rank.
  template <class Call>
  void exchange(Call&& call, const char* name, std::size_t bytes) {
    incoming_.resize(bytes * static_cast<std::size_t>(size_));
    const int count = as_count(bytes);
    MPI_Request request{};
    require(
        call(outgoing_.data(), count, MPI_BYTE, incoming_.data(), count, MPI_BYTE, data_, &request),
        name);
    wait(request);
  }
  void wait(MPI_Request& request) {
    const WaitingScope waiting(*watch_, rank_);
    constexpr int kSpins = 1000;
    for (int spin = 0; !is_done(request); ++spin) {
      watch_->check();
      if (spin < kSpins) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }

  /// Until every rank has left, or a moment after the group was given up.
  void keep_watch() {
    try {
      int farewells = 5;  // periods in which others may still hear why
      while (!is_over() && farewells > 0) {
        rank_ == 0 ? hear_all() : report();
        watch_->end_if_stuck([] { MPI_Abort(MPI_COMM_WORLD, 1); });
        farewells -= watch_->failed() && watch_->sign_of(rank_).state == RankState::left ? 1 : 0;
        std::this_thread::sleep_for(Watch::kPeriod);
      }
    } catch (const std::exception& error) {
      watch_->fail(formatted("rank {} lost the others: {}", rank_, error.what()));
    }
  }

  bool is_over() {
    return rank_ == 0 ? watch_->all_left() &&
                            std::count(said_bye_.begin(), said_bye_.end(), true) == size_ - 1
                      : static_cast<bool>(said_bye_[0]);
  }

  /// Rank 0: takes what has come, judges, and answers each.
  void hear_all() {
    for (int other = 1; other < size_; ++other) {
      Line& from = from_[static_cast<std::size_t>(other)];
      if (said_bye_[static_cast<std::size_t>(other)]) {
        continue;
      }
      if (from.request == MPI_REQUEST_NULL) {
        if (watch_->sign_of(other).state == RankState::left) {
          continue;  // that was its last
        }
        receive(from, other);
      }
      if (is_done(from.request)) {
        watch_->hear(other, from.message.sign);
        if (from.message.kind == Message::Kind::failed) {
          watch_->fail(from.message.why.data());
        }
      }
    }
    watch_->judge();
    for (int other = 1; other < size_; ++other) {
      const auto index = static_cast<std::size_t>(other);
      if (said_bye_[index] || !is_done(to_[index].request)) {
        continue;
      }
      Message& answer = to_[index].message = {};
      if (watch_->failed()) {
        answer.set_failed(watch_->why());
      } else if (watch_->sign_of(other).state == RankState::left) {
        answer.kind = Message::Kind::bye;
        said_bye_[index] = true;
      }
      send(to_[index], other);
    }
  }

  /// Another rank: tells rank 0 how it is, and hears the verdict.
  void report() {
    if (is_done(to_[0].request) && to_[0].message.sign.state != RankState::left) {
      Message& sign = to_[0].message = {};
      sign.sign = watch_->sign_of(rank_);
      if (watch_->failed()) {
        sign.set_failed(watch_->why());
      }
      send(to_[0], 0);
    }
    if (from_[0].request == MPI_REQUEST_NULL) {
      receive(from_[0], 0);
    }
    while (!said_bye_[0] && is_done(from_[0].request)) {
      watch_->hear(0, {});
      if (from_[0].message.kind == Message::Kind::failed) {
        watch_->fail(from_[0].message.why.data());
      }
      said_bye_[0] = from_[0].message.kind == Message::Kind::bye;
      if (!said_bye_[0]) {
        receive(from_[0], 0);
      }
    }
    watch_->judge_silence(0);
  }

  void send(Line& line, int to) {
    require(MPI_Isend(&line.message, sizeof(Message), MPI_BYTE, to, 0, signs_, &line.request),
            "MPI_Isend");
  }
  void receive(Line& line, int from) {
    require(MPI_Irecv(&line.message, sizeof(Message), MPI_BYTE, from, 0, signs_, &line.request),
            "MPI_Irecv");
  }

  MPI_Comm data_{};
  MPI_Comm signs_{};
  std::optional<Watch> watch_;
  Bytes outgoing_;
  // Rank 0 has lines to and from each rank, the others to and from rank 0.
  std::vector<Line> to_;
  std::vector<Line> from_;
  std::vector<bool> said_bye_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<HostGroup> make_mpi_group(int expected_ranks, const RankOptions& options) {
  return std::make_unique<MpiGroup>(expected_ranks, options);
}

}  // namespace cks
