// train_cifar under mpirun: the same network on 1, 2 and 3 processes, and what a process that dies
// leaves behind.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <random>

#include "cks/core/io/safetensors.h"
#include "cks/train/run_folder.h"
#include "tests/support/process.h"
#include "tests/support/state_gap.h"

namespace {

using namespace cks::testing;
using Clock = std::chrono::steady_clock;

/// Programs of a container run as root, and on more ranks than cores.
Arguments mpirun(int ranks, const Arguments& more) {
  return joined(
      {"--allow-run-as-root", "--oversubscribe", "-n", std::to_string(ranks), CKS_TRAIN_CIFAR},
      more);
}

Arguments quick(const std::string& folder, const Arguments& more = {}) {
  return joined({"--dataset", "drawn", "--limit-train", "600", "--limit-test", "200", "--model",
                 "lenet5", "--batch-size", "126", "--augment", "--seed", "3", "--device", "cpu",
                 "--output-dir", folder},
                more);
}

Outcome run(int ranks, const ScratchFolder& scratch, const Arguments& arguments) {
  return run_process(CKS_MPIRUN, scratch, mpirun(ranks, arguments));
}

std::vector<float> weights_in(const std::string& folder) {
  return floats_of(cks::load_safetensors(folder + "/last.safetensors").tensors);
}

TEST_CASE("mpirun: 1, 2 and 3 processes train the same network, twice the same bits") {
  const ScratchFolder scratch;
  const auto trained = [&](int ranks, const std::string& name) {
    const Outcome outcome = run(ranks, scratch, quick(scratch / name, {"--epochs", "2"}));
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    if (ranks > 1) {
      CHECK(contains(outcome.err, "ranks     " + std::to_string(ranks) + " (MPI), "));
    }
    return weights_in(scratch / name);
  };
  const std::vector<float> one = trained(1, "one");
  const std::vector<float> two = trained(2, "two");
  CHECK(gap(one, two) < 1e-5);  // tests/train compares them with what one ulp makes
  CHECK(gap(one, trained(3, "three")) < 1e-5);
  CHECK(trained(2, "again") == two);
  // On with another number, as if with the same.
  const auto resumed = [&](int ranks, const std::string& name) {
    const Outcome outcome =
        run(ranks, scratch, {"--resume", scratch / name, "--epochs", "3", "--quiet"});
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    return weights_in(scratch / name);
  };
  CHECK(gap(resumed(3, "two"), resumed(1, "again")) < 1e-5);
}

TEST_CASE("mpirun: what does not go together is refused") {
  const ScratchFolder scratch;
  const Outcome batch = run(3, scratch, quick(scratch / "run", {"--batch-size", "128"}));
  CHECK(batch.code == 1);
  CHECK(contains(batch.err, "a batch of 128 images does not divide among 3 ranks; 126 or 129"));
  CHECK_FALSE(std::filesystem::exists(scratch / "run"));
  CHECK(contains(run(2, scratch, quick(scratch / "run", {"--runs", "2"})).err,
                 "--runs does not go with several processes"));
  const Outcome other =
      run_process(CKS_MPIRUN, scratch,
                  {"--allow-run-as-root", "--oversubscribe", "-n", "2", CKS_TRAIN_AUTOENCODER});
  CHECK(contains(other.err, "train_autoencoder is one process, mpirun or srun has started 2"));
  const Outcome gpus =
      run(2, scratch, {"--dataset", "drawn", "--gpus", "2", "--output-dir", scratch / "run"});
  CHECK(contains(gpus.err, "--gpus 2 is for one process; mpirun or srun has started 2"));
}

/// The process that is rank `rank` among the children of mpirun; 0: it is not there (yet).
pid_t process_of(pid_t parent, int rank) {
  const std::string of_parent = "/proc/" + std::to_string(parent);
  std::ifstream children(of_parent + "/task/" + std::to_string(parent) + "/children");
  for (pid_t child = 0; children >> child;) {
    std::ifstream file("/proc/" + std::to_string(child) + "/environ");
    const std::string environment((std::istreambuf_iterator<char>(file)), {});
    const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    if (("\0" + environment).find(wanted + '\0') != std::string::npos) {
      return child;
    }
  }
  return 0;
}

TEST_CASE("mpirun: where a process is killed the others end, and the checkpoint goes on") {
  const ScratchFolder scratch;
  std::mt19937 random(11);  // moments and ranks, the same in each run of the tests
  constexpr int kKills = 10;
  for (int i = 0; i < kKills; ++i) {
    CAPTURE(i);
    const std::string folder = scratch / ("run" + std::to_string(i));
    const int victim = static_cast<int>(random() % 3);
    Process process(CKS_MPIRUN, scratch,
                    mpirun(3, quick(folder, {"--epochs", "1000", "--save-every-steps", "1"})));
    REQUIRE(eventually([&] {
      return cks::RunFolder::holds_run(folder) &&
             std::filesystem::exists(folder + "/metrics.csv") &&
             process_of(process.id(), victim) != 0;
    }));
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 400));
    kill(process_of(process.id(), victim), SIGKILL);
    const auto begin = Clock::now();
    CHECK(process.wait() != 0);
    CHECK(std::chrono::duration<double>(Clock::now() - begin).count() < 10.0);
    const std::string err = process.err();
    CAPTURE(err);
    CHECK(contains(err, "rank " + std::to_string(victim)));
    // A whole epoch on, on another number of ranks.
    const std::size_t epochs = cks::RunFolder::open(folder).read_metrics().size();
    const Outcome resumed = run(i % 2 == 0 ? 1 : 2, scratch,
                                {"--resume", folder, "--epochs", std::to_string(epochs + 1)});
    CAPTURE(resumed.err);
    CHECK(resumed.code == 0);
    CHECK(cks::RunFolder::open(folder).read_metrics().size() == epochs + 1);
  }
}

}  // namespace
