// The examples that take flags, as a user meets them.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cks/core/io/file.h"
#include "cks/datasets/images/image_io.h"
#include "tests/apps/train_mnist_process.h"

namespace {

using namespace cks::testing;

const std::string kPrograms = std::filesystem::path(CKS_TRAIN_MNIST).parent_path().string() + "/";

/// In a folder of its own, where it leaves its files.
Outcome dcgan(const std::string& folder, const std::string& flags) {
  const ScratchFolder logs;
  std::filesystem::create_directories(folder);
  return run_line(logs, "cd " + folder + " && " + kPrograms + "dcgan_digits --device cpu " + flags);
}

const std::string kQuick = "--dataset drawn --limit-train 256 --epochs 3 ";

/// The numbers behind a word, one of each line: losses of an epoch.
std::vector<double> numbers_behind(const std::string& text, const std::string& word) {
  std::vector<double> numbers;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    numbers.push_back(std::stod(text.substr(at + word.size())));
  }
  return numbers;
}

TEST_CASE("dcgan_digits: both losses move, the same seed gives the same bits") {
  const ScratchFolder scratch;
  const std::string weights = "/dcgan_digits.safetensors";
  const Outcome first = dcgan(scratch / "first", kQuick + "--seed 3");
  REQUIRE_MESSAGE(first.code == 0, first.err);
  for (const char* of : {"of discriminator ", "of generator "}) {
    const std::vector<double> losses = numbers_behind(first.out, of);
    CAPTURE(of);
    REQUIRE(losses.size() == 3);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      CHECK((losses[i] > 0.0 && losses[i] < 20.0));
      CHECK((i == 0 || losses[i] != losses[i - 1]));
    }
  }
  const cks::Tensor grid = cks::load_image(scratch / "first/dcgan_digits.png");
  CHECK((grid.size(0) == 298 && grid.size(1) == 298));  // ten by ten of 28, and 2 between them

  CHECK(dcgan(scratch / "again", kQuick + "--seed=3").code == 0);
  CHECK(slurp(scratch / "first" + weights) == slurp(scratch / "again" + weights));
  CHECK(slurp(scratch / "first/dcgan_digits.png") == slurp(scratch / "again/dcgan_digits.png"));
  CHECK(dcgan(scratch / "other", kQuick + "--seed 4").code == 0);
  CHECK(slurp(scratch / "first" + weights) != slurp(scratch / "other" + weights));
}

TEST_CASE("dcgan_digits: a classifier judges what it draws") {
  const ScratchFolder scratch;
  REQUIRE(run(scratch, quick(scratch / "run", {"--epochs", "1", "--device", "cpu"})) == 0);
  const std::string judge = "--judge " + scratch / "run/best.safetensors";
  const Outcome trained = dcgan(scratch / "gan", kQuick + judge);
  CHECK(trained.code == 3);  // after so few steps it draws no digits
  const std::string line = trained.out.substr(trained.out.find("judged:"));
  CHECK(contains(line, "% named with at least 90 %, "));
  CHECK(contains(line, "% as asked for; 0: "));
  const Outcome judged = dcgan(scratch / "gan", "--generator dcgan_digits.safetensors " + judge);
  CHECK(judged.code == 3);
  CHECK(judged.out == line);
  double sum = 0.0;
  for (int digit = 0; digit < 10; ++digit) {
    sum += numbers_behind(line, " " + std::to_string(digit) + ": ").at(0);
  }
  CHECK(sum == doctest::Approx(100.0).epsilon(0.006));  // ten shares, each rounded to 0.1
}

TEST_CASE("examples: wrong flags exit with 2, errors with 1, stdout that takes nothing, too") {
  const ScratchFolder scratch;
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"--epochs zero", "--epochs: 'zero' is no number from 1 on"},
      {"--epochs 0", "--epochs: '0' is no number from 1 on"},
      {"--dataset cats", "--dataset: 'cats' is none of mnist drawn"},
      {"--seed", "--seed wants a value"},
      {"--sede 3", "--sede: there is no such flag, there are --data-dir --dataset"}};
  for (const auto& [flags, message] : wrong) {
    const Outcome outcome = dcgan(scratch / "wrong", flags);
    CAPTURE(flags);
    CHECK(outcome.code == 2);
    CHECK_MESSAGE(contains(outcome.err, "error: " + message), outcome.err);
    CHECK(contains(outcome.err, "dcgan_digits --help"));
  }
  const std::vector<std::pair<std::string, std::string>> failing{
      {"--device gpu", "auto, cpu, cuda"},
      {"--data-dir " + scratch / "nothing", "train-images-idx3-ubyte"},
      {kQuick + "--judge nowhere.safetensors", "nowhere.safetensors"},
      {kQuick + "> /dev/full", "cannot write to stdout: No space left on device"}};
  for (const auto& [flags, message] : failing) {
    const Outcome outcome = dcgan(scratch / "failing", flags);
    CAPTURE(flags);
    CHECK(outcome.code == 1);
    CHECK_MESSAGE(contains(outcome.err, message), outcome.err);
    CHECK(outcome.out.empty());
  }
  const Outcome help = dcgan(scratch / "help", "--help");
  CHECK(help.code == 0);
  CHECK(contains(help.out, "--limit-train"));
  CHECK(contains(help.out, "default: 3"));
  const Outcome unet =
      run_line(scratch, kPrograms + "unet_shapes --images 32 --epochs 1 > /dev/full");
  CHECK(unet.code == 1);
  CHECK(unet.err == "error: cannot write to stdout: No space left on device\n");
}

}  // namespace
