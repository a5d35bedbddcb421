// Each request of a training run that the system may refuse, refused once: memory, files, threads.
// CKS_TEST_FAULTS=write:3 tries one fault.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>
#include <set>
#include <string>
#include <thread>

#include "cks/core/error.h"
#include "cks/core/io/file.h"
#include "cks/core/memory/storage.h"
#include "tests/faults/seam.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"
#include "tests/train/tiny.h"

namespace cks::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSteps = 3;  // of an epoch
constexpr std::int64_t kEpochs = 2;

std::string bytes_of(const NamedTensors& tensors) {
  std::string bytes;
  for (const auto& [name, tensor] : tensors) {
    bytes.append(static_cast<const char*>(tensor.data()), tensor.nbytes());
  }
  return bytes;
}

/// What no step may leave half-changed.
std::string parameters_and_optimizer(const TinyRun& run) {
  return bytes_of(run.model.named_parameters()) + bytes_of(run.optimizer->state());
}

std::size_t entries_of(const char* folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// Trains in a folder that holds a run, from where it stands.
struct Training {
  TinyRun run{{.images = 50, .batch_size = 20}};
  RunFolder folder;
  std::set<std::string> states;  // after each whole step

  explicit Training(const std::string& path, bool resume = true)
      : folder(resume ? RunFolder::open(path) : RunFolder::create(path)), resume_(resume) {}

  void fit(std::int64_t stop_at = 0) {
    std::int64_t steps = 0;
    states.insert(parameters_and_optimizer(run));
    TrainOptions options{.epochs = kEpochs, .clip_grad_norm = 1.0};
    options.files = {.folder = &folder, .resume = resume_, .save_every_steps = 2, .keep_epochs = 1};
    options.callbacks.on_step = [&](const StepEvent& event) {
      steps = event.global_step;
      if (keeps_states) {
        states.insert(parameters_and_optimizer(run));
      }
    };
    options.callbacks.should_stop = [&] { return steps == stop_at; };
    cks::fit(run.task(), options);
  }
  std::string result() const {
    return bytes_of(run.model.state_dict()) + parameters_and_optimizer(run);
  }
  bool keeps_states = false;

 private:
  bool resume_;
};

/// Of this process. A thread that was joined is listed for a moment longer: the fewest of a while
/// count.
std::size_t threads_left() {
  std::size_t fewest = entries_of("/proc/self/task");
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    fewest = std::min(fewest, entries_of("/proc/self/task"));
  }
  return fewest;
}

/// A run that was stopped after its first step, and what becomes of it.
struct Fixture {
  ScratchFolder scratch;
  std::string begun = scratch / "begun";
  std::string expected;
  std::set<std::string> states;
  std::map<Fault, std::int64_t> requests;  // of the run that goes on
  std::size_t threads = 0;                 // between runs

  Fixture() {
    {
      Training first(begun, false);
      first.fit(1);
      states.insert(parameters_and_optimizer(first.run));
    }
    for (const Fault fault : kFaults) {
      Training training(copy());
      training.keeps_states = fault == Fault::write;
      const FaultScope none(fault, 0);
      training.fit();
      requests[fault] = none.count();
      if (training.keeps_states) {
        states.merge(training.states);
        expected = training.result();
      }
    }
    REQUIRE(states.size() == kSteps * kEpochs + 1);
    threads = threads_left();
  }
  std::string copy() const {
    const std::string path = scratch / "run";
    fs::remove_all(path);
    fs::copy(begun, path, fs::copy_options::recursive);
    return path;
  }
};

/// Whether the request was refused.
void try_fault(const Fixture& fixture, Fault fault, std::int64_t at) {
  const std::string which = std::string(name_of(fault)) + ":" + std::to_string(at);
  CAPTURE(which);
  const std::string path = fixture.copy();
  const std::size_t files = entries_of("/proc/self/fd");
  const std::int64_t memory = memory_stats(Device::cpu()).in_use;
  {
    Training training(path);
    const std::string initial = parameters_and_optimizer(training.run);
    bool failed = true;
    std::string message;
    try {
      const FaultScope scope(fault, at);
      training.fit();
      failed = false;
    } catch (const Error& error) {
      message = error.what();
    } catch (const std::bad_alloc&) {
      message = fault == Fault::allocation ? "out of memory" : "";
    } catch (const std::exception& error) {
      FAIL_CHECK("not an error of ours: " << error.what());
    }
    if (failed) {
      CHECK(!message.empty());
      const std::string now = parameters_and_optimizer(training.run);
      CHECK((now == initial || fixture.states.contains(now)));
    } else {  // it could do without
      CHECK(training.result() == fixture.expected);
    }
  }
  for (const auto& entry : fs::directory_iterator(path)) {
    CHECK(entry.path().filename().string().find(".tmp-") == std::string::npos);
  }
  CHECK(eventually([&] { return entries_of("/proc/self/task") == fixture.threads; }));
  CHECK(entries_of("/proc/self/fd") == files);
  CHECK(memory_stats(Device::cpu()).in_use == memory);
  Training again(path);
  again.fit();
  CHECK(again.result() == fixture.expected);
}

TEST_CASE("a training run survives every request that the system refuses") {
  const char* variable = std::getenv("CKS_TEST_FAULTS");
  const std::string wanted = variable == nullptr ? "" : variable;
  const Fixture fixture;
  for (const Fault fault : kFaults) {
    const std::int64_t requests = fixture.requests.at(fault);
    CHECK(requests > 0);
    if (const std::size_t colon = wanted.find(':'); colon != std::string::npos) {
      if (wanted.substr(0, colon) == name_of(fault)) {
        try_fault(fixture, fault, std::stoll(wanted.substr(colon + 1)));
      }
      continue;
    }
    for (std::int64_t at = 1; at <= requests; ++at) {
      try_fault(fixture, fault, at);
    }
    MESSAGE(std::string(name_of(fault)) << ": " << requests << " requests, each refused once");
  }
}

TEST_CASE("a file that the system says nothing about is an error with the system's reason") {
  const ScratchFolder scratch;
  const std::string path = scratch / "weights.bin";
  write_file_atomically(path, "bytes");
  const FaultScope scope(Fault::stat, 1);
  std::string message;
  try {
    read_file(path);
  } catch (const IoError& error) {
    message = error.what();
  }
  CHECK(message == path + ": cannot be read: Input/output error");
}

}  // namespace
}  // namespace cks::testing
