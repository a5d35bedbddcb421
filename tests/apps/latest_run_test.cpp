#include <doctest/doctest.h>

#include <filesystem>

#include "apps/run/run_folders.h"
#include "cks/core/error.h"
#include "tests/support/process.h"

namespace {

namespace fs = std::filesystem;
using namespace cks::testing;
using cks::apps::latest_weights;
using cks::apps::link_latest;

/// The current folder, until the end of the scope.
class WorkingFolder {
 public:
  explicit WorkingFolder(const std::string& path) : before_(fs::current_path()) {
    fs::current_path(path);
  }
  ~WorkingFolder() { fs::current_path(before_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  fs::path before_;
};

TEST_CASE("runs/latest leads to the run that was begun or gone on with last") {
  const ScratchFolder scratch;
  const WorkingFolder working(scratch.path());
  const Arguments arguments{
      "--dataset",          "drawn", "--limit-train", "60",  "--limit-test", "20",
      "--batch-size",       "20",    "--epochs",      "1",   "--device",     "cpu",
      "--save-every-steps", "1",     "--model",       "mlp", "--quiet"};
  const auto run = [&](const Arguments& more) {
    const Outcome outcome = run_process(CKS_TRAIN_MNIST, scratch, joined(arguments, more));
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  };
  const auto target = [] { return fs::read_symlink("runs/latest").string(); };
  const Outcome none = run_process(CKS_PREDICT, scratch, {"--latest", "a.png"});
  CHECK(none.code == 1);
  CHECK(contains(none.err, "there is no link " + fs::absolute("runs/latest").string()));
  run({});
  const std::string first = target();
  CHECK(first.starts_with("train_mnist-mlp-"));
  run({"--output-dir", "runs/named"});
  CHECK(target() == "named");
  run({"--output-dir", "elsewhere"});
  run({"--dry-run"});
  CHECK(target() == "named");
  const Outcome resumed =
      run_process(CKS_TRAIN_MNIST, scratch, {"--resume", "runs/" + first, "--epochs", "2"});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(target() == first);
  CHECK(latest_weights() == "runs/" + first + "/best.safetensors");
  const Outcome shown = run_process(CKS_INSPECT, scratch, {"--latest"});
  CHECK(shown.code == 0);
  CHECK(contains(shown.out, "runs/" + first + "/best.safetensors"));
  const Outcome predicted = run_process(CKS_PREDICT, scratch, {"--latest", "nothing.png"});
  CHECK(contains(predicted.err, "weights   runs/" + first + "/best.safetensors"));
  CHECK(run_process(CKS_PREDICT, scratch, {"--latest", "--weights", "w", "a.png"}).code == 2);
  CHECK(run_process(CKS_INSPECT, scratch, {"--latest", "--model", "mlp"}).code == 2);
  run({"--output-dir", "runs/group", "--runs", "2"});
  CHECK(target() == "group");
  CHECK_THROWS_WITH_AS(latest_weights(), doctest::Contains("runs/group/seed-2"), cks::IoError);
}

TEST_CASE("runs/latest: what is no link stays") {
  const ScratchFolder scratch;
  const WorkingFolder working(scratch.path());
  fs::create_directories("runs/latest");
  fs::create_directories("runs/other");
  link_latest("runs/other");
  CHECK_FALSE(fs::is_symlink("runs/latest"));
  fs::remove("runs/latest");
  link_latest("runs/other/");
  CHECK(fs::equivalent("runs/latest", "runs/other"));
  CHECK_THROWS_WITH_AS(latest_weights(), doctest::Contains("runs/other has no weights yet"),
                       cks::IoError);
  fs::create_directories("runs/third");
  link_latest(fs::absolute("runs/third").string());
  CHECK(fs::equivalent("runs/latest", "runs/third"));
}

}  // namespace
