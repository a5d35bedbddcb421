// train_autoencoder as a user meets it.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>

#include "cks/datasets/images/image_io.h"
#include "cks/train/checkpoint.h"
#include "cks/train/run_folder.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

namespace {

using cks::RunFolder;
using namespace cks::testing;

Outcome run(const ScratchFolder& scratch, const Arguments& arguments) {
  return run_process(CKS_TRAIN_AUTOENCODER, scratch, arguments);
}

/// A few epochs on drawn digits.
Arguments quick(const std::string& folder, const Arguments& more = {}) {
  return joined({"--dataset", "drawn", "--limit-train", kSanitized ? "400" : "4000", "--limit-test",
                 "300", "--output-dir", folder, "--device", "cpu"},
                more);
}

TEST_CASE("train_autoencoder: learns to draw digits again, and its folder has what it drew") {
  const ScratchFolder scratch;
  const std::string path = scratch / "run";
  Outcome result =
      run(scratch,
          quick(path, {"--epochs", "2", "--target-loss", "0.3", "--columns", "8", "--rows", "2"}));
  CHECK_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.out, "done      test loss 0."));
  CHECK(contains(result.out, path + "/reconstructions.png\n"));
  const RunFolder folder = RunFolder::open(path);
  const auto rows = folder.read_metrics();
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].test_loss < rows[0].test_loss);
  CHECK(rows[1].test_loss <= 0.3);
  CHECK(cks::load_image(folder.file("reconstructions.png"), {.channels = 1}).shape() ==
        cks::Shape{4 * 30 - 2, 8 * 30 - 2, 1});
  CHECK(contains(slurp(folder.report_file()), "base64,iVBORw0KGgo"));  // the same picture
  CHECK(std::filesystem::exists(folder.file("curves.svg")));
  for (const std::string& weights : {folder.best_file(), folder.last_file()}) {
    CHECK(cks::read_checkpoint_info(weights).model == "autoencoder");
  }
  const cks::ConfigSections config = folder.read_config();
  CHECK(config.at("build").at("program") == "train_autoencoder");
  CHECK(config.at("flags").at("epochs") == "2");
  CHECK(config.at("conv_plans").size() >= 2);
  CHECK(contains(slurp(folder.log_file()), "epoch  2/2  train loss"));
  CHECK(std::filesystem::exists(folder.summary_file()));

  result = run(scratch, {"--resume", path, "--data-dir", scratch.path()});
  CHECK(result.code == 2);
  CHECK(contains(result.err, "--data-dir does not go with --dataset drawn"));
  result = run(scratch, quick(path));
  CHECK(result.code == 1);
  CHECK(contains(result.err, "already holds a run"));
  CHECK(run(scratch, quick(scratch / "short", {"--epochs", "1", "--target-loss", "1e-6"})).code ==
        3);
}

TEST_CASE("train_autoencoder: shows its steps unless quiet") {
  const ScratchFolder scratch;
  const Arguments flags{"--epochs", "1", "--limit-train", "1280", "--log-interval", "4"};
  const Outcome shown = run(scratch, quick(scratch / "shown", flags));
  REQUIRE_MESSAGE(shown.code == 0, shown.err);
  CHECK(contains(shown.err, "epoch  1/1 4/10  loss "));
  CHECK(contains(shown.err, "epoch  1/1 8/10  loss "));
  CHECK_FALSE(contains(shown.err, "acc "));  // it has none
  Arguments silent = flags;
  silent.emplace_back("--quiet");
  const Outcome quiet = run(scratch, quick(scratch / "quiet", silent));
  CHECK(quiet.err.empty());
  CHECK(contains(quiet.out, "done      test loss "));
  CHECK(contains(slurp(scratch / "quiet/run.log"), "epoch  1/1  train loss"));
}

TEST_CASE("train_autoencoder: stopped in its first epoch it has no result yet") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  Process process(CKS_TRAIN_AUTOENCODER, scratch,
                  quick(folder, {"--epochs", "2", "--limit-train", "60000"}));
  REQUIRE(eventually([&] { return std::filesystem::exists(folder + "/last.state.safetensors"); }));
  process.signal(SIGINT);
  REQUIRE(process.wait() == 130);
  CHECK(contains(process.out(), "stopped   not evaluated yet\n"));
}

TEST_CASE("train_autoencoder: an interrupted run goes on bit for bit") {
  const ScratchFolder scratch;
  const Arguments flags{"--epochs", "6", "--device", "cpu"};  // slow enough to interrupt
  REQUIRE(run(scratch, quick(scratch / "whole", flags)).code == 0);
  const std::string cut = scratch / "cut";
  Process process(CKS_TRAIN_AUTOENCODER, scratch, quick(cut, flags));
  REQUIRE(eventually([&] { return contains(slurp(cut + "/metrics.csv"), "\n1,"); }));
  process.signal(SIGINT);
  REQUIRE(process.wait() == 130);
  CHECK(contains(process.out(), "train_autoencoder --resume " + cut));
  CHECK(run(scratch, {"--resume", cut, "--lr", "0.5"}).code == 1);
  const Outcome resumed = run(scratch, {"--resume", cut});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(contains(resumed.err, "note      resumed "));
  for (const char* name : {"/last.safetensors", "/best.safetensors", "/reconstructions.png"}) {
    CAPTURE(name);
    CHECK(slurp(cut + name) == slurp((scratch / "whole") + name));
  }
}

}  // namespace
