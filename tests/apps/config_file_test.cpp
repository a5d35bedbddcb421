#include <doctest/doctest.h>

#include <filesystem>

#include "apps/cli/program.h"
#include "apps/cli/recipes.h"
#include "apps/run/train_flags.h"
#include "cks/core/io/file.h"
#include "cks/train/run_folder.h"
#include "tests/support/process.h"

namespace {

using cks::RunFolder;
using cks::apps::Flags;
using cks::apps::TrainFlags;
using cks::apps::UsageError;
using namespace cks::testing;

/// The flags of a training program after a command line with --config FILE.
TrainFlags taken(const std::string& path, std::vector<const char*> more = {}) {
  TrainFlags values;
  values.model = "mlp";
  Flags flags("program", "");
  cks::apps::add_train_flags(flags, values);
  std::vector<const char*> arguments{"program", "--config", path.c_str()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  REQUIRE_FALSE(flags.parse(static_cast<int>(arguments.size()), arguments.data()));
  cks::apps::take_config(flags, values.config);
  return values;
}

/// What is said of a file that is refused.
template <class Exception>
std::string refusal(const std::string& path, const std::vector<const char*>& more = {}) {
  try {
    taken(path, more);
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST_CASE("--config: bytes behind the JSON are refused, a NUL and more among them") {
  const ScratchFolder scratch;
  const std::string path = scratch / "flags.json";
  for (const char* behind : {"x", "{}", "\1"}) {
    cks::write_file_atomically(path, std::string("{\"epochs\": 5}") + behind);
    CHECK(contains(refusal<cks::IoError>(path), path));
  }
  cks::write_file_atomically(path, std::string("{\"epochs\": 5}\0 no JSON {{{", 26));
  CHECK(contains(refusal<cks::IoError>(path), path));
}

TEST_CASE("--config: texts, numbers and truth values for the flags that are not given") {
  const ScratchFolder scratch;
  const std::string path = scratch / "flags.json";
  cks::write_file_atomically(path, R"({"epochs": 5, "lr": 1e-3, "wd": "0.25", "opt": "sgd",
                                       "nesterov": true, "drop-last": "true", "seed": "9"})");
  TrainFlags values = taken(path);
  CHECK(values.epochs == 5);
  CHECK(values.lr == 1e-3);
  CHECK(values.weight_decay == 0.25);
  CHECK(values.optimizer == "sgd");
  CHECK(values.nesterov);
  CHECK(values.drop_last);
  CHECK(values.seed == 9);
  CHECK(values.batch_size == TrainFlags().batch_size);
  values = taken(path, {"--epochs", "7", "--nesterov=false"});
  CHECK(values.epochs == 7);
  CHECK_FALSE(values.nesterov);
  CHECK(values.seed == 9);
}

TEST_CASE("--config: of a run all flags but those that mean the run") {
  const ScratchFolder scratch;
  const std::string path = scratch / "config.json";
  cks::write_file_atomically(path, R"({"build": {"program": "x"}, "flags": {"epochs": "6",
      "output-dir": "there", "resume": "there", "config": "older.json"}})");
  const TrainFlags values = taken(path);
  CHECK(values.epochs == 6);
  CHECK(values.output_dir.empty());
  CHECK_FALSE(values.resume.has_value());
  CHECK(values.config == path);
}

TEST_CASE("--config: what is no file of flags is refused, by file and flag") {
  const ScratchFolder scratch;
  const std::string path = scratch / "flags.json";
  const std::string start = "--config: " + path + ": ";
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {R"({"epohcs": 5})", "there is no flag --epohcs; the nearest is --epochs"},
           {R"({"flags": {"image-sise": "5"}})", "there is no flag --image-sise"},
           {R"({"epochs": 0})", "flag --epochs: '0' is not a number in [1, 1000000]"},
           {R"({"epochs": 2.5})", "flag --epochs: '2.5' is not a number in [1, 1000000]"},
           {R"({"epochs": true})", "flag --epochs: 'true' is not a number in [1, 1000000]"},
           {R"({"epochs": [5]})", "flag --epochs: its value must be a text, a number, true or"},
           {R"({"epochs": null})", "flag --epochs: its value must be a text, a number, true or"},
           {R"({"nesterov": "yes"})", "flag --nesterov: 'yes' is neither true nor false"},
           {R"({"nesterov": 1})", "flag --nesterov: '1' is neither true nor false"},
           {R"({"opt": "sdg"})", "flag --opt: 'sdg' is not one of {sgd,adam,adamw}"},
           {R"({"device": "gpu"})", "flag --device: 'gpu' is not auto"},
           {R"({"output-dir": "x"})", "flag --output-dir: it means one run"}}) {
    CAPTURE(text);
    cks::write_file_atomically(path, text);
    CHECK(refusal<UsageError>(path).starts_with(start + why));
  }
  cks::write_file_atomically(path, R"({"epochs": 0, "nonsense": 1})");
  CHECK(contains(refusal<UsageError>(path, {"--epochs", "3"}), "there is no flag --nonsense"));
  for (const char* text : {"", "{", "[1]", "5", "{\"epochs\": 5,}", "epochs = 5\n", "\"epochs\""}) {
    CAPTURE(text);
    cks::write_file_atomically(path, text);
    CHECK(refusal<cks::IoError>(path).starts_with(start));
  }
  CHECK(contains(refusal<cks::IoError>(scratch / "none.json"), scratch / "none.json"));
  CHECK(contains(refusal<cks::IoError>(scratch.path()), scratch.path()));
  CHECK(contains(refusal<UsageError>(path, {"--resume"}), "--config does not go with --resume"));
}

/// A few quick steps on drawn digits.
Arguments digits(const std::string& folder, const Arguments& more) {
  return joined({"--dataset", "drawn", "--limit-train", "300", "--limit-test", "100", "--device",
                 "cpu", "--output-dir", folder},
                more);
}

TEST_CASE("train_mnist: a run with another one's config.json has the same bits") {
  const ScratchFolder scratch;
  const std::string first = scratch / "first";
  const auto run = [&](const Arguments& arguments) {
    const Outcome outcome = run_process(CKS_TRAIN_MNIST, scratch, arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  };
  run(digits(first, {"--epochs", "2", "--batch-size", "32", "--opt", "adamw", "--lr", "0.002",
                     "--wd", "0.01", "--lr-scheduler", "cosine", "--label-smoothing", "0.1",
                     "--clip-grad-norm", "1.5", "--seed", "5", "--drop-last"}));
  const std::string config = first + "/config.json";
  const std::string weights = slurp(first + "/last.safetensors");
  run({"--config", config, "--output-dir", scratch / "second"});
  CHECK(slurp(scratch / "second/last.safetensors") == weights);
  CHECK(slurp(scratch / "second/best.safetensors") == slurp(first + "/best.safetensors"));
  // From the second one's config.json, too; and one flag makes a difference.
  run({"--config", scratch / "second/config.json", "--output-dir", scratch / "third"});
  CHECK(slurp(scratch / "third/last.safetensors") == weights);
  run({"--config", config, "--output-dir", scratch / "other", "--seed", "6"});
  CHECK(slurp(scratch / "other/last.safetensors") != weights);
  CHECK(RunFolder::open(scratch / "other").read_config().at("flags").at("lr") == "0.002");
  // Its own folder is what goes on, with the flags that it had.
  run({"--resume", scratch / "second"});
  CHECK(RunFolder::open(scratch / "second").read_config().at("flags").at("config") == config);
}

/// The flags that a run of train_cifar begins with.
std::map<std::string, std::string> flags_of(const ScratchFolder& scratch, const Arguments& more) {
  const std::string folder = scratch / "run";
  std::filesystem::remove_all(folder);
  const Outcome outcome =
      run_process(CKS_TRAIN_CIFAR, scratch, joined(digits(folder, {"--model", "mlp"}), more));
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return RunFolder::open(folder).read_config().at("flags");
}

TEST_CASE("train_cifar: the command line goes before --config, that before --preset") {
  const ScratchFolder scratch;
  const std::string path = scratch / "flags.json";
  cks::write_file_atomically(path, R"({"lr": 0.01, "epochs": 3, "momentum": 0.8})");
  const Arguments both{"--config", path, "--preset", "resnet20", "--epochs", "1"};
  auto flags = flags_of(scratch, both);
  CHECK(flags.at("epochs") == "1");  // command line
  CHECK(flags.at("lr") == "0.01");   // file
  CHECK(flags.at("momentum") == "0.8");
  CHECK(flags.at("lr-scheduler") == "onecycle");  // preset
  CHECK(flags.at("crop-padding") == "4");
  CHECK(flags.at("seed") == "1");  // default

  // The file may name the preset, and take back a part of it.
  cks::write_file_atomically(path, R"({"preset": "resnet20", "augment": false, "epochs": 1})");
  flags = flags_of(scratch, {"--config", path});
  CHECK(flags.at("opt") == "sgd");
  CHECK(flags.at("crop-padding") == "0");
  CHECK(flags.at("flip") == "false");
  cks::write_file_atomically(path, R"({"preset": "resnet20", "crop-padding": 2, "epochs": 1})");
  flags = flags_of(scratch, {"--config", path});
  CHECK(flags.at("crop-padding") == "2");
  CHECK(flags.at("flip") == "true");

  // --augment on the command line decides against a file, in either direction.
  flags = flags_of(scratch, {"--config", path, "--augment"});
  CHECK(flags.at("crop-padding") == "4");
  flags = flags_of(scratch, {"--config", path, "--augment=false", "--flip"});
  CHECK(flags.at("crop-padding") == "0");
  CHECK(flags.at("flip") == "true");

  const Outcome outcome = run_process(
      CKS_TRAIN_CIFAR, scratch, {"--config", path, "--preset", "paper", "--dataset", "drawn"});
  CHECK(outcome.code == 2);
  CHECK(contains(outcome.err, "--preset paper does not go with --config " + path +
                                  ", whose preset is resnet20"));
}

}  // namespace
