#include "cks/core/distributed/communicator.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "cks/core/device/cuda.h"
#include "tests/core/distributed/collectives.h"
#include "tests/support/devices.h"

namespace cks {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<Device> cpus(int count) { return std::vector<Device>(static_cast<std::size_t>(count)); }

TEST_CASE("communicator: threads reduce, gather and broadcast, in the order of ranks") {
  for (const int size : {1, 2, 3, 5}) {
    CAPTURE(size);
    std::atomic<int> sum{0};
    run_ranks(cpus(size), [&](Communicator& ranks) {
      CHECK(ranks.size() == size);
      CHECK(ranks.local_rank() == ranks.rank());
      CHECK(ranks.backend() == (size == 1 ? "single" : "threads"));
      testing::check_collectives(ranks, true);
      sum += 1 << ranks.rank();
    });
    CHECK(sum == (1 << size) - 1);
  }
}

TEST_CASE("communicator: GPUs reduce, gather and broadcast through NCCL") {
  const int count = cuda_device_count();
  if (count < 2 || !has_nccl()) {
    return;
  }
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) {
    devices.push_back(Device::cuda(i));
  }
  run_ranks(devices, [](Communicator& ranks) {
    testing::check_collectives(ranks, false);
    Tensor on_host = Tensor::ones({4});
    ranks.all_reduce(on_host);
    CHECK(on_host.to_vector<float>() == std::vector<float>(4, static_cast<float>(ranks.size())));
  });
  CHECK_THROWS_WITH_AS(run_ranks({Device::cuda(0), Device::cuda(0)}, [](Communicator&) {}),
                       "rank 0 and rank 1 would share cuda:0: there are more ranks on this machine "
                       "than GPUs",
                       DeviceError);
}

TEST_CASE(
    "communicator: where a rank throws, the others do too, and the caller gets its exception") {
  std::atomic<int> told{0};
  const auto begin = Clock::now();
  CHECK_THROWS_WITH_AS(
      run_ranks(cpus(3),
                [&](Communicator& ranks) {
                  if (ranks.rank() == 1) {
                    throw std::runtime_error("no more film");
                  }
                  try {
                    ranks.barrier();
                    ranks.barrier();
                  } catch (const RankError& error) {
                    CHECK(std::string(error.what()) == "rank 1 failed: no more film");
                    ++told;
                    throw;
                  }
                }),
      "no more film", std::runtime_error);
  CHECK(told == 2);
  CHECK(seconds_since(begin) < 2.0);
}

TEST_CASE("communicator: a rank that is late or ends early is named, one that gets on waited for") {
  const RankOptions options{.timeout_seconds = 1.0};
  const auto nap = [](double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  };
  const auto begin = Clock::now();
  CHECK_THROWS_WITH_AS(run_ranks(
                           cpus(3),
                           [&](Communicator& ranks) {
                             if (ranks.rank() == 2) {
                               nap(2.0);
                             }
                             ranks.barrier();
                           },
                           options),
                       "rank 2 hangs or is late: others have waited for it for 1 s", RankError);
  CHECK(seconds_since(begin) < 3.0);
  CHECK_THROWS_WITH_AS(run_ranks(
                           cpus(2),
                           [&](Communicator& ranks) {
                             if (ranks.rank() == 0) {
                               ranks.barrier();
                             }
                           },
                           options),
                       "rank 1 has ended while others wait for it", RankError);
  run_ranks(
      cpus(2),
      [&](Communicator& ranks) {
        for (int i = 0; ranks.rank() == 0 && i < 4; ++i) {
          nap(0.5);
          ranks.get_on();
        }
        ranks.barrier();
      },
      options);
  run_ranks(
      cpus(2),
      [&](Communicator& ranks) {
        if (ranks.rank() == 0) {
          const Communicator::Excuse excuse(ranks);
          nap(1.6);
        }
        ranks.barrier();
      },
      options);
}

TEST_CASE("communicator: bad arguments and devices are refused") {
  CHECK_THROWS_WITH_AS(run_ranks({}, [](Communicator&) {}),
                       "run_ranks: there are no devices, expected at least one", Error);
  CHECK_THROWS_WITH_AS(run_ranks(cpus(2), [](Communicator&) {}, {.timeout_seconds = 0.5}),
                       "ranks: timeout_seconds is 0.5, expected at least 1", Error);
  CHECK_THROWS_WITH_AS(run_ranks(cpus(2),
                                 [](Communicator& ranks) {
                                   Tensor bytes = Tensor::zeros({3}, DType::uint8);
                                   ranks.all_reduce(bytes);
                                 }),
                       "all_reduce: dtype uint8, expected float32, float64 or, for sums, int64 or "
                       "int32",
                       DtypeError);
  CHECK_THROWS_WITH_AS(run_ranks(cpus(2),
                                 [](Communicator& ranks) {
                                   Tensor one = Tensor::zeros({3});
                                   ranks.broadcast(one, 2);
                                 }),
                       "broadcast: there is no rank 2 of 2", Error);
  Communicator alone;
  Tensor undefined;
  CHECK_THROWS_AS(alone.all_reduce(undefined), Error);
  CHECK(launched_processes() == 1);
  if (!has_mpi()) {
    CHECK_THROWS_WITH_AS(join_processes(),
                         "1 processes were started together, but this build has no MPI (configure "
                         "with -DCKS_WITH_MPI=ON)",
                         Error);
  }
  if (cuda_device_count() == 0) {
    CHECK_THROWS_AS(run_ranks({Device::cuda(0), Device::cuda(1)}, [](Communicator&) {}),
                    DeviceError);
  } else if (cuda_device_count() > 1 && !has_nccl()) {
    CHECK_THROWS_WITH_AS(run_ranks({Device::cuda(0), Device::cuda(1)}, [](Communicator&) {}),
                         "cuda:0: several GPUs need NCCL, which this build has not (configure with "
                         "-DCKS_WITH_NCCL=ON)",
                         DeviceError);
  }
}

}  // namespace
}  // namespace cks
