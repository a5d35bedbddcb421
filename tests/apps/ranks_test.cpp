// --gpus, and being started by mpirun, where the build or the machine does not have what they need.
#include <doctest/doctest.h>

#include <cstdlib>

#include "cks/config.h"
#include "cks/core/device/cuda.h"
#include "cks/core/distributed/communicator.h"
#include "tests/support/process.h"

namespace {

using namespace cks::testing;

Outcome train(const ScratchFolder& scratch, const Arguments& more) {
  return run_process(CKS_TRAIN_CIFAR, scratch,
                     joined({"--dataset", "drawn", "--limit-train", "100", "--limit-test", "50",
                             "--model", "lenet5", "--epochs", "1", "--output-dir", scratch / "run"},
                            more));
}

TEST_CASE("ranks: --gpus says what is missing, and leaves no folder") {
  const ScratchFolder scratch;
  const Outcome wrong = train(scratch, {"--gpus", "none"});
  CHECK(wrong.code == 2);
  CHECK(contains(wrong.err, "--gpus: 'none' is neither all nor a number of at least 1"));
  CHECK(train(scratch, {"--gpus", "2", "--device", "cpu"}).code == 2);
  const int there = cks::cuda_device_count();
  const Outcome many = train(scratch, {"--gpus", "1000"});
  CHECK(many.code == 1);
  if (CKS_HAS_CUDA == 0) {
    CHECK(contains(many.err, "error: --gpus 1000: this build has no CUDA"));
  } else if (there == 0) {
    CHECK(contains(many.err, "error: --gpus 1000: there is no NVIDIA"));
  } else {
    CHECK(contains(many.err, "error: --gpus 1000: there "));
    CHECK(contains(many.err, " on this machine"));
  }
  if (there > 1 && !cks::has_nccl()) {
    CHECK(contains(train(scratch, {"--gpus", "2"}).err, "--gpus 2: several GPUs need NCCL"));
  }
  CHECK_FALSE(std::filesystem::exists(scratch / "run"));
}

TEST_CASE("ranks: --help says what the build lacks") {
  const ScratchFolder scratch;
  const std::string help = run_process(CKS_TRAIN_CIFAR, scratch, {"--help"}).out;
  CHECK(contains(help, "--gpus"));
  CHECK(contains(help, "has no NCCL") == !cks::has_nccl());
  CHECK(contains(help, "with MPI, which") == !cks::has_mpi());
}

TEST_CASE(
    "ranks: one of several processes is refused by a build without MPI, whatever started it") {
  if (cks::has_mpi()) {
    return;
  }
  const ScratchFolder scratch;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    setenv(name, "4", 1);
    const Outcome outcome = train(scratch, {});
    unsetenv(name);
    CHECK(outcome.code == 1);
    CHECK(outcome.err ==
          "error: 4 processes were started together, but this build has no MPI (configure with "
          "-DCKS_WITH_MPI=ON)\n");
  }
}

}  // namespace
