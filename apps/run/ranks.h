#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "cks/core/distributed/communicator.h"

namespace cks::apps {

/// How a program's work is spread.
struct RankFlags {
  std::string gpus = "1";  // "all" or a number; 1: --device says which
  double timeout = 6.0;    // seconds, of RankOptions
  bool sync_batch_norm = false;
};

/// Adds --gpus, --sync-bn and --rank-timeout.
void add_rank_flags(Flags& flags, RankFlags& values);

/// The ranks that a training program runs as: one alone, a thread for each GPU of --gpus, or one of
/// the processes that mpirun or srun started.
class Ranks {
 public:
  /// Joins the other processes, if there are any. Throws UsageError for --gpus beside them; Error
  /// if this build cannot.
  explicit Ranks(const RankFlags& flags);

  /// Whether rank 0, who writes and prints, is of this process.
  bool is_first() const { return !processes_ || processes_->rank() == 0; }
  bool are_processes() const { return processes_.has_value(); }
  /// Gives the other processes the flags of the first.
  void share(Flags& parser);
  /// The device of rank 0, or of this process, with the others' names in its `why`. Throws
  /// DeviceError if there are fewer GPUs than asked for, or not what they need.
  ChosenDevice take_devices(const std::string& device_flag);
  /// Ranks on this machine that compute on its cores side by side.
  int on_this_cpu() const;

  /// body(), for which the other processes wait as long as it takes.
  auto excused(auto&& body) {
    std::optional<Communicator::Excuse> excuse;
    if (processes_) {
      excuse.emplace(*processes_);
    }
    return body();
  }

  /// Calls body() for each rank of this process, as run_ranks() does.
  void run(const std::function<void(Communicator&)>& body);
  /// Tells the other processes that this one ends with an error.
  void fail(const std::string& why);

 private:
  RankFlags flags_;
  std::vector<Device> devices_;  // of this process
  std::optional<Communicator> processes_;
};

/// "2 (threads + NCCL 2.28.9), 256 images each, linked by NVLink; batch norm over each rank's own".
std::string describe_ranks(const Communicator& ranks, std::int64_t batch_size,
                           bool sync_batch_norm);

}  // namespace cks::apps
