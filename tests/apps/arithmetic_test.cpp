// What train_mnist computes with, as a user chooses and sees it: kernels and precision.
#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "cks/train/run_folder.h"
#include "tests/apps/train_mnist_process.h"

namespace {

using cks::RunFolder;
using namespace cks::testing;

TEST_CASE("a report of convolutions is printed and kept in the run's folder") {
  const ScratchFolder scratch;
  std::string out;
  REQUIRE(run(scratch, quick(scratch / "run", {"--epochs", "1", "--conv-report"}), nullptr, &out) ==
          0);
  CHECK(contains(out, "executed/V"));
  std::istringstream csv(slurp(RunFolder::open(scratch / "run").convolutions_file()));
  std::string line;
  std::getline(csv, line);
  CHECK(line.starts_with("module,pass,problem,plan,"));
  int rows = 0;
  while (std::getline(csv, line)) {
    ++rows;
    const double error = std::stod(line.substr(line.rfind(',') + 1));
    CHECK(error >= 0.0);
    CHECK(error < 1e-4);
  }
  CHECK(rows >= 5);  // LeNet-5 has two convolutions; the first needs no input gradient
}

TEST_CASE("a run uses the kernels that it is told to use") {
  const ScratchFolder scratch;
  std::string out;
  REQUIRE(run(scratch,
              {"--dataset", "drawn", "--limit-train", "128", "--limit-test", "128", "--device",
               "cpu", "--dry-run", "--conv-report", "--conv-plan", "forward=reference"},
              nullptr, &out) == 0);
  const auto rows = [&](const std::string& begin, const std::string& plan) {
    std::istringstream lines(out);
    std::int64_t count = 0;
    for (std::string line; std::getline(lines, line);) {
      count += line.starts_with(begin) && contains(line, "  " + plan) ? 1 : 0;
    }
    return count;
  };
  CHECK(rows("  forward ", "reference ") == 2);
  CHECK(rows("  backward_data ", "ks_deconv simd ") == 1);
}

TEST_CASE("a run with --tune tries kernels, and the next one knows what they took") {
  const ScratchFolder scratch;
  const Arguments arguments{
      "--dataset", "drawn", "--limit-train", "8",      "--limit-test", "8", "--batch-size", "2",
      "--device",  "cpu",   "--dry-run",     "--tune", "--threads",    "1"};
  std::string err;
  REQUIRE(run(scratch, arguments, &err) == 0);
  CHECK_FALSE(contains(err, "tuned     0 passes"));
  const std::string file = scratch / "cache/cks/conv_plans.txt";
  CHECK(contains(err, "0 found in " + std::filesystem::absolute(file).string()));
  CHECK(contains(slurp(file), "| backward_filter | N2 28x28x1"));
  REQUIRE(run(scratch, arguments, &err) == 0);
  CHECK(contains(err, "tuned     0 passes"));
}

TEST_CASE("a run says in what precision it computes, and refuses one that the device lacks") {
  const ScratchFolder scratch;
  std::string err;
  REQUIRE(run(scratch,
              quick(scratch / "run", {"--epochs", "1", "--device", "cpu", "--precision", "bf16"}),
              &err) == 0);
  CHECK(contains(err, " in bf16, "));
  CHECK(RunFolder::open(scratch / "run").read_config().at("flags").at("precision") == "bf16");
  REQUIRE(run(scratch, {"--resume", scratch / "run", "--epochs", "2"}, &err) == 0);
  CHECK(contains(err, " in bf16, "));
  CHECK_FALSE(contains(err, "computed in"));
  REQUIRE(run(scratch, {"--resume", scratch / "run", "--epochs", "3", "--precision", "fp32"},
              &err) == 0);
  CHECK(contains(err, "note      computed in bf16 so far, from here on in fp32"));
  CHECK(run(scratch, quick(scratch / "tf32", {"--device", "cpu", "--precision", "tf32"}), &err) ==
        1);
  CHECK(contains(err, "--precision tf32: cpu does not have it; it has fp32, bf16"));
  CHECK_FALSE(std::filesystem::exists(scratch / "tf32"));
}

}  // namespace
