#include "cks/train/run_folder.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cks/core/io/safetensors.h"
#include "cks/train/checkpoint.h"
#include "cks/train/trainer.h"
#include "tests/support/scratch_folder.h"

namespace {

using cks::EpochMetrics;
using cks::IoError;
using cks::RunFolder;
using cks::testing::ScratchFolder;
using cks::testing::slurp;

EpochMetrics row(std::int64_t epoch) {
  return {.epoch = epoch,
          .step = 10 * epoch,
          .seconds = 0.1 * static_cast<double>(epoch),
          .train_loss = 1.0 / 3.0,
          .train_accuracy = 0.5,
          .test_loss = 1e-30,
          .test_accuracy = 0.987654321,
          .learning_rate = 1e-3,
          .images_per_second = 12345.6,
          .peak_mib = 100.5};
}

TEST_CASE("a new run makes its folder, and a second run is refused") {
  const ScratchFolder scratch;
  const std::string path = scratch / "a/b";
  const RunFolder folder = RunFolder::create(path);
  CHECK(std::filesystem::is_directory(path));
  CHECK_FALSE(folder.has_state());
  // One that was killed before it had anything to save can be begun again.
  CHECK(RunFolder::holds_run(path));
  CHECK(RunFolder::open(path).path() == path);
  CHECK_THROWS_AS(RunFolder::create(path), IoError);
  folder.write_config({{"flags", {{"lr", "0.001"}}}});
  CHECK(folder.read_config().at("flags").at("lr") == "0.001");
  CHECK_THROWS_WITH_AS(RunFolder::create(path), doctest::Contains("RunFolder::open()"), IoError);
  CHECK(RunFolder::open(path).path() == path);
}

TEST_CASE("a folder that cannot be made or written is an error at once") {
  const ScratchFolder scratch;
  std::ofstream(scratch / "file") << "x";
  CHECK_THROWS_WITH_AS(RunFolder::create(scratch / "file"), doctest::Contains("file"), IoError);
  CHECK_THROWS_AS(RunFolder::create(scratch / "file/below"), IoError);
  CHECK_THROWS_AS(RunFolder::create("/proc/cks-run"), IoError);
  if (geteuid() != 0) {  // root may write anywhere
    std::filesystem::create_directory(scratch / "locked");
    std::filesystem::permissions(scratch / "locked", std::filesystem::perms::owner_read);
    CHECK_THROWS_AS(RunFolder::create(scratch / "locked"), IoError);
  }
}

TEST_CASE("metrics grow by a row, read back exactly and are cut for a resume") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  CHECK(folder.read_metrics().empty());
  for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
    folder.append_metrics(row(epoch));
  }
  const std::string text = slurp(folder.metrics_file());
  CHECK(text.starts_with("epoch,step,seconds,train_loss,train_acc,test_loss,test_acc,lr,"));
  REQUIRE(folder.read_metrics().size() == 3);
  CHECK(folder.read_metrics()[1] == row(2));

  std::ofstream(folder.metrics_file(), std::ios::app) << "4,40,0.4,0.3";  // killed while writing
  CHECK(folder.read_metrics().size() == 3);
  folder.truncate_metrics(2);
  REQUIRE(folder.read_metrics().size() == 2);
  folder.append_metrics(row(3));
  CHECK(slurp(folder.metrics_file()) == text);
}

TEST_CASE("who takes a folder removes what a killed process left half-written") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  const std::string kept = folder.file("notes.tmp-of-mine");
  std::ofstream(kept) << "kept";
  std::ofstream(folder.file("last.safetensors.tmp-4711-0")) << "half";
  const auto lock = folder.lock();
  CHECK(std::filesystem::exists(kept));
  CHECK(!std::filesystem::exists(folder.file("last.safetensors.tmp-4711-0")));
}

TEST_CASE("a file that cannot grow is an error") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  std::filesystem::create_symlink("/dev/full", folder.metrics_file());
  CHECK_THROWS_WITH_AS(folder.append_metrics(row(1)), doctest::Contains("metrics.csv"), IoError);
}

TEST_CASE("a damaged config.json is an error that names it") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  std::ofstream(folder.config_file()) << "{\"flags\": {";
  CHECK_THROWS_WITH_AS(folder.read_config(), doctest::Contains("config.json"), IoError);
}

TEST_CASE("JSON that is nested deep is an error, wherever it is read") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  for (const std::size_t depth :
       {std::size_t{40}, std::size_t{500'000}}) {  // the latter: beyond a stack
    const std::string deep = std::string(depth, '[') + std::string(depth, ']');
    std::ofstream(folder.config_file()) << R"({"flags": {"epochs": )" << deep << "}}";
    CHECK_THROWS_WITH_AS(folder.read_config(), doctest::Contains("32 deep"), IoError);
    std::ofstream(folder.summary_file()) << R"({"best_epoch": )" << deep << "}";
    CHECK_THROWS_WITH_AS(cks::read_summary(folder.summary_file()), doctest::Contains("32 deep"),
                         IoError);
    CHECK_THROWS_WITH_AS(cks::parse_train_state(R"({"epoch": )" + deep + "}"),
                         doctest::Contains("32 deep"), IoError);
    cks::save_safetensors(folder.best_file(), {}, {{"cks.input", deep}});
    CHECK_THROWS_WITH_AS(cks::read_checkpoint_info(folder.best_file()),
                         doctest::Contains("32 deep"), IoError);
  }
}

TEST_CASE("config.json holds UTF-8 alone") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  folder.write_config({{"data", {{"source", "caf\xc3\xa9"}}}});
  CHECK_THROWS_WITH_AS(folder.write_config({{"data", {{"source", "caf\xe9"}}}}),
                       doctest::Contains("config.json: data source is 'caf"), IoError);
  CHECK(folder.read_config().at("data").at("source") == "caf\xc3\xa9");
}

TEST_CASE("the log keeps every line") {
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  folder.log("first");
  folder.log("second");
  const std::string text = slurp(folder.log_file());
  CHECK(text.find("  first\n") < text.find("  second\n"));
}

}  // namespace
