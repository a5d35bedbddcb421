#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

class HostGroup;

/// Another rank died, hangs, comes late or failed; the message names it. Every call of the
/// communicator throws it from then on.
class RankError : public Error {
 public:
  using Error::Error;
};

struct RankOptions {
  /// A rank that gives no sign of life for so long, or for which others wait for so long while it
  /// does something else, is given up, and with it the whole group: every rank ends within 3 s
  /// more. At least 1.
  double timeout_seconds = 6.0;
};

/// The ranks that train one model together, as one of them, its own, sees them: rank 0 to size - 1.
/// All ranks make the same calls in the same order, with tensors of the same shapes and dtypes; a
/// call ends when all have come to it.
///
///   run_ranks({Device::cuda(0), Device::cuda(1)}, [](Communicator& ranks) {
///     Tensor sum = Tensor::full({4}, ranks.rank(), DType::float32, ranks.device());
///     ranks.all_reduce(sum);  // 1 everywhere
///   });
///
/// A rank is a thread of this process (run_ranks) or a process started by mpirun or srun
/// (join_processes). Tensors of the CPU go through memory or MPI, and sums add the ranks in their
/// order, in float64: the same bits whatever carries them. Tensors of a GPU go through NCCL on the
/// current stream: in a captured step they are recorded like a kernel, otherwise the call waits for
/// them. One machine with the same GPUs gives the same bits.
///
/// A thread of each process watches the ranks (see RankOptions). Where one is given up while this
/// process cannot notice, since it hangs itself or in a driver, that thread prints the error and
/// ends the process with exit code 1.
class Communicator {
 public:
  /// One rank alone, for which every call is done at once.
  Communicator();
  ~Communicator();
  Communicator(Communicator&&) noexcept;
  Communicator& operator=(Communicator&&) = delete;

  int rank() const;
  int size() const;
  /// Place among the ranks of this machine, and how many they are.
  int local_rank() const;
  int local_size() const;
  /// "single", "threads", "MPI", "threads + NCCL 2.28.9", "MPI + NCCL 2.28.9".
  std::string backend() const;

  /// Where this rank computes; the CPU until use_device().
  Device device() const;
  /// Makes a CUDA device this rank's own; to be called by all ranks. Throws DeviceError if this
  /// build has no NCCL, if the device cannot be used, or if another rank has it already.
  void use_device(Device device);

  /// Sums and means over the ranks, in place; several tensors of one device at once cost less than
  /// one by one. Dtypes float32, float64, int64 and int32, the latter two for sums alone.
  void all_reduce(std::span<Tensor> sums, std::span<Tensor> means = {});
  void all_reduce(Tensor& sum);
  /// The ranks' tensors, one after the other: [size, shape of tensor].
  Tensor all_gather(const Tensor& tensor);
  /// float32 [count] on this rank's device, uninitialised, which NCCL knows on all ranks: it
  /// reaches such memory in fewer steps. To be called by all ranks, and let go of before the
  /// communicator.
  Tensor registered(std::int64_t count);
  /// Makes the tensors of all ranks equal to those of rank `from`.
  void broadcast(Tensor& tensor, int from = 0);
  /// Rank `from`'s text.
  std::string broadcast(const std::string& text, int from = 0);
  /// Each rank's number.
  std::vector<std::int64_t> all_gather(std::int64_t number);
  /// Returns once all ranks are here.
  void barrier();
  /// Waits until the current stream of this rank's GPU has done its work. Unlike waiting by other
  /// means it ends, with RankError, where that work waits for a rank that is given up.
  void synchronize();

  /// Until the end of the scope, others wait for this rank as long as it takes: for what a single
  /// rank does, such as writing files.
  class Excuse {
   public:
    explicit Excuse(Communicator& ranks);
    ~Excuse();
    Excuse(const Excuse&) = delete;
    Excuse& operator=(const Excuse&) = delete;

   private:
    Communicator& ranks_;
  };

  /// Says that this rank gets on, where it works for long on its own: it is not late yet.
  void get_on();

  /// Gives the whole group up: the others throw RankError with this rank and `why`.
  void fail(const std::string& why);

 private:
  struct Parts;
  explicit Communicator(std::unique_ptr<HostGroup> host);
  friend void run_ranks(const std::vector<Device>& devices,
                        const std::function<void(Communicator&)>& body, const RankOptions& options);
  friend Communicator join_processes(const RankOptions& options);
  template <class Operation>
  void on(const char* operation, const Tensor& tensor, Operation&& device_operation);

  std::unique_ptr<Parts> parts_;
};

/// Calls body() on a thread for each device, as rank 0, 1 ..., and returns when all have ended.
/// The same CPU may be given several times. What scopes say holds for their own thread alone (a
/// PrecisionScope of the caller, say, not for ranks). If one throws, the others are told (see
/// Communicator::fail), and the first exception goes on to the caller. Throws Error for no devices.
void run_ranks(const std::vector<Device>& devices, const std::function<void(Communicator&)>& body,
               const RankOptions& options = {});

/// Whether run_ranks() can take several GPUs, and join_processes() several processes.
bool has_nccl();
bool has_mpi();
/// How many processes mpirun or srun started together with this one, as its environment says; 1
/// without them.
int launched_processes();
/// This process as one of them. To be called once. Throws Error if this build has no MPI, if MPI
/// does not see as many, or if it does not allow calls from several threads.
Communicator join_processes(const RankOptions& options = {});

}  // namespace cks
