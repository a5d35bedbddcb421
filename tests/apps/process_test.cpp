// train_mnist as a user meets it: exit codes, interrupts, kill -9, resuming.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "apps/cli/program.h"
#include "apps/run/run_folders.h"
#include "cks/config.h"
#include "cks/core/device/cuda.h"
#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"
#include "tests/apps/train_mnist_process.h"
#include "tests/support/sanitized.h"

namespace {

using cks::RunFolder;
using namespace cks::testing;
using std::chrono::milliseconds;

TEST_CASE("a run writes its files, and its result to stdout") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  std::string err;
  std::string out;
  // On the CPU, where the host sees the results of every step.
  CHECK(run(scratch,
            quick(folder, {"--epochs", "2", "--show-digits", "2", "--log-interval", "5", "--device",
                           "cpu"}),
            &err, &out) == 0);
  for (const char* name : {"config.json", "run.log", "metrics.csv", "best.safetensors",
                           "last.safetensors", "last.state.safetensors", "summary.json"}) {
    CAPTURE(name);
    CHECK(std::filesystem::exists(folder + "/" + name));
  }
  CHECK(RunFolder::open(folder).read_metrics().size() == 2);
  CHECK(contains(out, "test accuracy"));
  CHECK(contains(out, "predicted"));
  CHECK(contains(err, "parameters"));
  CHECK(contains(err, "C-K-S skips"));
  CHECK(contains(err, "epoch  1/2 5/12"));  // plain lines, because stderr is no terminal
  CHECK_FALSE(contains(err, "\r"));
  CHECK_FALSE(contains(err, "\x1b"));
  const std::string summary = slurp(folder + "/summary.json");
  for (const char* key :
       {"\"test_accuracy\"", "\"best_test_accuracy\"", "\"epochs\"", "\"seconds\"",
        "\"images_per_second\"", "\"device\"", "\"peak_resident_bytes\""}) {
    CHECK(contains(summary, key));
  }
  CHECK(RunFolder::open(folder).read_config().at("conv_plans").size() >= 5);

  // A second run into the same folder.
  CHECK(run(scratch, quick(folder), &err) == 1);
  CHECK(contains(err, "already holds a run"));
  CHECK(contains(err, "give another --output-dir, or continue it with --resume " + folder));
}

TEST_CASE("wrong flags exit with 2, and say where help is") {
  const ScratchFolder scratch;
  std::string err;
  CHECK(run(scratch, {"--no-such-flag"}, &err) == 2);
  CHECK(contains(err, "--no-such-flag"));
  CHECK(contains(err, "--help"));
  CHECK(run(scratch, {"--epochs", "zero"}) == 2);
  CHECK(run(scratch, {"--epochs", "0"}) == 2);
  CHECK(run(scratch, {"--lr", "nan"}) == 2);
  CHECK(run(scratch, {"--dataset", "drawn", "--data-dir", scratch.path()}, &err) == 2);
  CHECK(contains(err, "--data-dir does not go with --dataset drawn"));
  CHECK(run(scratch, {"--model", "nonsense"}, &err) == 2);
  CHECK(contains(err, "lenet5"));
  CHECK(run(scratch, {"--conv-plan", "forward=nonsense"}, &err) == 2);
  CHECK(contains(err, "--conv-plan"));
  CHECK(contains(err, "possible are convv2, simd, reference"));
  std::string out;
  CHECK(run(scratch, {"--help"}, nullptr, &out) == 0);
  CHECK(contains(out, "--label-smoothing"));
  CHECK(contains(out, "128"));
}

TEST_CASE("a flag that has no effect is refused, in every program") {
  const ScratchFolder scratch;
  const std::string programs = std::filesystem::path(CKS_TRAIN_MNIST).parent_path().string() + "/";
  const std::vector<std::pair<Arguments, std::string>> cases{
      {{"train_mnist", "--momentum", "0.8"}, "--momentum does not go with --opt adam"},
      {{"train_mnist", "--momentum", "0.9"}, "--momentum does not go with --opt adam"},
      {{"train_mnist", "--opt", "adamw", "--nesterov"}, "--nesterov does not go with --opt adamw"},
      {{"train_mnist", "--lr-gamma", "0.5"}, "--lr-gamma does not go with --lr-scheduler constant"},
      {{"train_mnist", "--lr-step-epochs", "2", "--lr-scheduler", "cosine"},
       "--lr-step-epochs does not go with --lr-scheduler cosine"},
      {{"train_mnist", "--val-seed", "3"}, "--val-seed does not go with --val-share 0"},
      {{"train_mnist", "--no-graph", "--device", "cpu"},
       "--no-graph does not go with --device cpu"},
      {{"train_mnist", "--data-dir", "x"}, "--data-dir does not go with --dataset drawn"},
      {{"train_cifar", "--fit", "crop"}, "--fit does not go with --dataset drawn"},
      {{"train_cifar", "--no-cache"}, "--no-cache does not go with --dataset drawn"},
      {{"train_cifar", "--preset", "pictures", "--momentum", "0.8"},
       "--momentum does not go with --opt adam"},
      {{"train_autoencoder", "--data-dir", "x"}, "--data-dir does not go with --dataset drawn"},
      {{"predict", "--weights", "w", "--eval", "x", "--top-k", "3"}, "--top-k"},
      {{"predict", "--weights", "w", "p.png", "--skip-broken"}, "--skip-broken requires --eval"},
      {{"predict", "--weights", "w", "p.png", "--no-cache"}, "--no-cache requires --eval"},
      {{"inspect", "w.safetensors", "--batch", "3"}, "--batch requires --model"},
      {{"inspect", "w.safetensors", "--input", "28x28x1"}, "--input requires --model"},
      {{"inspect", "w.safetensors", "--filters-of", "k"}, "--filters-of requires --filters"},
      {{"inspect", "--model", "mlp", "--filters", "f.svg"}, "--filters"},
      {{"bench_conv", "--list", "--check"}, "--check excludes --list"},
      {{"bench_step", "--epoch-images", "8"}, "--epoch-images requires --epoch"},
      {{"bench_step", "--steps", "3", "--seconds", "2"}, "--seconds excludes --steps"},
  };
  for (auto [arguments, message] : cases) {
    const std::string program = arguments.front();
    arguments.erase(arguments.begin());
    if (program.starts_with("train")) {
      arguments = joined(arguments, {"--dataset", "drawn", "--output-dir", scratch / "run"});
    }
    const Outcome outcome = run_process(programs + program, scratch, arguments);
    CAPTURE(program);
    CHECK(outcome.code == 2);
    CHECK_MESSAGE(contains(outcome.err, message), outcome.err);
    CHECK(contains(outcome.err, "see " + program + " --help"));
  }
  CHECK(!std::filesystem::exists(scratch / "run"));
  // One that is off, or whose effect a file brings, is welcome.
  const std::string config = scratch / "flags.json";
  cks::write_file_atomically(config, R"({"opt": "sgd", "val-share": 0.2, "lr-gamma": 0.3})");
  CHECK(run(scratch, quick(scratch / "run", {"--config", config, "--momentum", "0.5", "--val-seed",
                                             "4", "--dry-run"})) == 0);
  CHECK(run(scratch, quick(scratch / "run", {"--nesterov=false", "--no-graph=false", "--device",
                                             "cpu", "--dry-run"})) == 0);
}

TEST_CASE("errors exit with 1 before anything is trained") {
  const ScratchFolder scratch;
  std::string err;
  CHECK(run(scratch, {"--data-dir", scratch / "nothing", "--output-dir", scratch / "run"}, &err) ==
        1);
  CHECK(contains(err, "--dataset drawn"));
  CHECK_FALSE(std::filesystem::exists(scratch / "run"));
  CHECK(run(scratch, quick("/proc/cks"), &err) == 1);
  CHECK(contains(err, "/proc/cks"));
  CHECK(run(scratch, {"--resume", scratch / "nothing"}, &err) == 1);
  CHECK(contains(err, "holds no run"));
}

TEST_CASE("auto takes a usable GPU, or else the CPU; a GPU that cannot be used is an error") {
  const ScratchFolder scratch;
  const std::string reason = cks::why_not_usable(cks::Device::cuda());
  const std::string taken = cks::choose_device("auto").to_string();
  const Arguments once{"--epochs", "1"};
  const auto with_device = [&](const char* name) {
    return Arguments{"--epochs", "1", "--device", name};
  };
  std::string err;
  std::string out;
  const std::string folder = scratch / "auto";
  REQUIRE(run(scratch, quick(folder, once), &err, &out) == 0);
  CHECK(contains(err, "threads, device " + taken + "\n"));
  CHECK(contains(err, "device    cpu (auto: " + reason + ")") ==
        (CKS_HAS_CUDA != 0 && taken == "cpu"));
  CHECK(contains(err, "compute capability") == (taken != "cpu"));
  CHECK(contains(out, "on the GPU") == (taken != "cpu"));
  CHECK(RunFolder::open(folder).read_config().at("machine").at("device") == taken);
  CHECK(contains(slurp(folder + "/summary.json"), "\"device\": \"" + taken + "\""));

  if (reason.empty()) {
    CHECK(run(scratch, quick(scratch / "cuda", with_device("cuda")), &err) == 0);
    CHECK(contains(err, "device    cuda:0, "));
  } else {
    CHECK(run(scratch, quick(scratch / "cuda", with_device("cuda")), &err) == 1);
    CHECK(contains(err, "error: cuda:0: " + reason));
    CHECK_FALSE(std::filesystem::exists(scratch / "cuda"));
  }
  CHECK(run(scratch, quick(scratch / "no", with_device("cuda:999")), &err) == 1);
  CHECK(contains(err, "error: cuda:999: "));
  CHECK(run(scratch, quick(scratch / "no", with_device("gpu")), &err) == 2);
  CHECK(contains(err, "'gpu' is not auto, cpu, cuda or cuda:N"));

  // The device is free on a resume.
  REQUIRE(run(scratch, quick(scratch / "cpu", with_device("cpu")), &err) == 0);
  CHECK_FALSE(contains(err, "device    "));
  CHECK(run(scratch, {"--resume", scratch / "cpu", "--device", "auto", "--epochs", "2"}) == 0);
  CHECK(RunFolder::open(scratch / "cpu").read_config().at("machine").at("device") == taken);
}

TEST_CASE("a dry run writes nothing") {
  const ScratchFolder scratch;
  CHECK(run(scratch, quick(scratch / "run", {"--dry-run"})) == 0);
  CHECK_FALSE(std::filesystem::exists(scratch / "run"));
}

TEST_CASE("the target decides between 0 and 3") {
  const ScratchFolder scratch;
  std::string err;
  CHECK(run(scratch, quick(scratch / "a", {"--epochs", "1", "--target-acc", "0.9999"}), &err) == 3);
  CHECK(contains(err, "below --target-acc"));
  CHECK(run(scratch, quick(scratch / "b", {"--epochs", "1", "--target-acc", "0.01"})) == 0);
}

TEST_CASE("with --val-share the best epoch is chosen on a part of the training images") {
  const ScratchFolder scratch;
  std::string err;
  std::string out;
  REQUIRE(run(scratch,
              quick(scratch / "run", {"--epochs", "2", "--val-share", "0.25", "--target-acc",
                                      "0.01", "--seed", "3"}),
              &err, &out) == 0);
  CHECK(contains(err, ": 450 train, 150 validation, 100 test"));
  CHECK(contains(err, "best: chosen on the validation half\n"));
  CHECK(contains(err, " %   val "));
  CHECK_FALSE(contains(err, " %   test "));
  CHECK(contains(out, "done      validation accuracy "));
  CHECK(contains(out, ", with which the test accuracy is "));
  const cks::TrainSummary summary = cks::read_summary(scratch / "run/summary.json");
  REQUIRE(summary.validation);
  // It goes on with the same images, and one that is done says the same.
  CHECK(run(scratch, {"--resume", scratch / "run", "--epochs", "3"}, &err) == 0);
  CHECK(contains(err, ": 450 train, 150 validation, 100 test"));
  CHECK(run(scratch, {"--resume", scratch / "run", "--val-share", "0.5"}, &err) == 1);
  CHECK(contains(err, "--val-share 0.25 then, 0.5 now"));
  // Without one, programs say what that means.
  REQUIRE(run(scratch, quick(scratch / "no", {"--epochs", "1"}), &err, &out) == 0);
  CHECK(contains(err, "best: chosen on the test half (--val-share cuts one to choose on)\n"));
  CHECK(contains(out, "(epoch 1, chosen on the test half)"));
  CHECK(run(scratch, {"--val-share", "1"}) == 2);
  CHECK(run(scratch, quick(scratch / "patient", {"--epochs", "40", "--lr", "0", "--patience", "2"}),
            nullptr, &out) == 0);
  CHECK(contains(out, "after epoch 3,"));
}

TEST_CASE("a run says which classes it never predicts and which it cannot test") {
  const ScratchFolder scratch;
  std::string err;
  std::string out;
  // Of the few test images not every digit has one; untrained, the network names few digits.
  REQUIRE(run(scratch,
              {"--dataset", "drawn", "--limit-train", "50", "--limit-test", "3", "--epochs", "1",
               "--lr", "0", "--output-dir", scratch / "run"},
              &err, &out) == 0);
  CHECK(contains(err, "warning: test: no image of class "));
  CHECK(contains(out, "balanced  test accuracy "));
  CHECK(contains(out, "; never predicted: "));
  const std::string summary = slurp(scratch / "run/summary.json");
  CHECK(contains(summary, "\"never_predicted\": \""));
  CHECK(contains(summary, "\"balanced\": {\n    \"accuracy\": "));
  REQUIRE(run(scratch,
              {"--dataset", "drawn", "--limit-train", "11", "--limit-test", "10", "--epochs", "1",
               "--val-share", "0.5", "--output-dir", scratch / "chosen"},
              &err) == 0);
  CHECK(contains(err, "warning: validation: no image of class "));
}

TEST_CASE("divergence exits with 1, names the layer and keeps the last good checkpoint") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  std::string err;
  CHECK(run(scratch, quick(folder, {"--opt", "sgd", "--lr", "1e30"}), &err) == 1);
  CHECK(contains(err, "not finite"));
  CHECK(contains(err, "step"));
  CHECK(contains(err, "gradient norm"));
  CHECK(contains(err, "layer"));
  CHECK(cks::load_safetensors(folder + "/last.safetensors").tensors.size() > 0);
  CHECK(contains(slurp(folder + "/run.log"), "not finite"));
  CHECK(contains(err, "\n  flags that help: --lr, --lr-warmup-epochs, --clip-grad-norm\n"));
}

TEST_CASE("an interrupt saves, exits with 130, and the resumed run ends as if uninterrupted") {
  const ScratchFolder scratch;
  const Arguments flags{"--epochs", "6", "--model", "lenet5", "--threads", "1"};
  REQUIRE(run(scratch, quick(scratch / "whole", flags)) == 0);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    CAPTURE(number);
    const std::string folder = scratch / ("cut" + std::to_string(number));
    TrainMnist process(scratch, quick(folder, flags));
    REQUIRE(eventually([&] { return contains(slurp(folder + "/metrics.csv"), "\n1,"); }));
    process.signal(number);
    CHECK(process.wait() == 128 + number);
    CHECK(contains(process.out(), "--resume"));
    CHECK(contains(process.err(), "stopping once everything is saved; again to leave at once\n"));
    std::string err;
    CHECK(run(scratch, {"--resume", folder, "--lr", "0.5"}, &err) == 1);
    CHECK(contains(err, "--lr 0.001 then, 0.5 now"));
    CHECK(run(scratch, {"--resume", folder, "--threads", "2"}) == 0);
    CHECK(slurp(folder + "/last.safetensors") == slurp(scratch / "whole/last.safetensors"));
    CHECK(slurp(folder + "/best.safetensors") == slurp(scratch / "whole/best.safetensors"));
  }
}

TEST_CASE("one process writes a run; --resume alone passes over it") {
  const ScratchFolder scratch;
  const std::string train =
      CKS_TRAIN_MNIST " --dataset drawn --limit-train 200 --limit-test 50 --device cpu";
  const std::string one = scratch / "runs/train_mnist-one";
  const std::string two = scratch / "runs/train_mnist-two";
  REQUIRE(run_line(scratch, train + " --epochs 1 --output-dir " + one).code == 0);
  CHECK(RunFolder::writer_of(one).empty());
  const ScratchFolder of_other;  // for its output
  TrainMnist other(of_other, quick(two, {"--epochs", "100000", "--threads", "1"}));
  REQUIRE(eventually([&] { return std::filesystem::exists(two + "/last.state.safetensors"); }));
  const std::string writer = RunFolder::writer_of(two);
  CHECK(writer.starts_with("train_mnist, process " + std::to_string(other.id()) + " on host "));
  const Outcome refused = run_line(scratch, CKS_TRAIN_MNIST " --resume " + two);
  CHECK(refused.code == 1);
  CHECK(contains(refused.err, "run folder " + two + " is being written by " + writer));
  const Outcome resumed = run_line(scratch, CKS_TRAIN_MNIST " --resume --epochs 2");
  CHECK(resumed.code == 0);
  CHECK(contains(resumed.err, "resumed runs/train_mnist-one/last.state"));
  std::filesystem::remove_all(one);
  const Outcome none = run_line(scratch, CKS_TRAIN_MNIST " --resume");
  CHECK(none.code == 1);
  CHECK(contains(none.err, "runs/train_mnist-two is being written by " + writer));
  other.signal(SIGKILL);  // which leaves no lock behind
  other.wait();
  CHECK(RunFolder::writer_of(two).empty());
  CHECK_THROWS_AS(([&] {
                    const RunFolder folder = RunFolder::open(two);
                    const auto lock = folder.lock();
                    CHECK(RunFolder(folder).lock() == lock);
                    RunFolder::open(two).lock();
                  }()),
                  cks::IoError);
  CHECK_NOTHROW(RunFolder::open(two).lock());
}

TEST_CASE("what stdout does not take is an error of every program") {
  const ScratchFolder scratch;
  const std::string quick_run =
      " --dataset drawn --limit-train 100 --limit-test 50 --epochs 1 --quiet --output-dir ";
  const std::string programs = std::filesystem::path(CKS_TRAIN_MNIST).parent_path().string() + "/";
  for (const std::string name :
       {"bench_conv", "bench_step", "export", "inspect", "ladder", "predict", "speedrun",
        "train_autoencoder", "train_cifar", "train_mnist"}) {
    const std::string program = programs + name;
    CAPTURE(program);
    const Outcome full = run_line(scratch, program + " --help > /dev/full");
    CHECK(full.code == 1);
    CHECK(full.err == "error: cannot write to stdout: No space left on device\n");
    const Outcome closed = run_line(scratch, program + " --help >&-");
    CHECK(closed.code == 1);
    CHECK(closed.err == "error: cannot write to stdout: Bad file descriptor\n");
    run_line(scratch, "{ sleep 0.3; " + program + " --help; echo $? > code; } | true");
    CHECK(slurp(scratch / "code") == "1\n");
    CHECK(run_line(scratch, program + " --version").out ==
          name + " of CKS " + cks::apps::version() + "\n");
  }
  const Outcome trained = run_line(scratch, CKS_TRAIN_MNIST + quick_run + "run > /dev/full");
  CHECK(trained.code == 1);
  CHECK(contains(trained.err, "cannot write to stdout: No space left on device"));
  CHECK(std::filesystem::exists(scratch / "run/summary.json"));  // the run itself is whole
  const Outcome limited =
      run_line(scratch, "ulimit -f 100; " CKS_TRAIN_MNIST + quick_run + "limited");
  CHECK(limited.code == 1);
  CHECK(contains(limited.err, "cannot be written: File too large"));
}

TEST_CASE("paths in config.json are absolute, so that a run can be resumed from anywhere") {
  const ScratchFolder scratch;
  REQUIRE(run_line(scratch,
                   "mkdir data && echo '{\"lr\": 0.002}' > my.json && " CKS_TRAIN_MNIST
                   " --config my.json --output-dir out/run --limit-train 100 --limit-test 50 "
                   "--epochs 1 --dataset drawn")
              .code == 0);
  const auto flags = RunFolder::open(scratch / "out/run").read_config().at("flags");
  CHECK(flags.at("output-dir") == scratch / "out/run");
  CHECK(flags.at("config") == scratch / "my.json");
  CHECK(flags.at("lr") == "0.002");
  CHECK(run_line(scratch, "cd out && " CKS_TRAIN_MNIST " --resume run --epochs 2").code == 0);
  CHECK(RunFolder::open(scratch / "out/run").read_config().at("flags").at("resume") ==
        scratch / "out/run");
}

TEST_CASE("a second interrupt leaves at once, and says how to go on") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  // One step takes seconds.
  TrainMnist process(scratch, {"--dataset", "drawn", "--limit-train", "1000", "--limit-test", "100",
                               "--model", "resnet56", "--batch-size", "1000", "--device", "cpu",
                               "--threads", "1", "--output-dir", folder});
  REQUIRE(eventually([&] { return std::filesystem::exists(folder + "/last.state.safetensors"); }));
  process.signal(SIGINT);
  REQUIRE(eventually([&] { return contains(process.err(), "stopping once everything is saved"); }));
  process.signal(SIGINT);
  CHECK(process.wait() == 130);
  CHECK(contains(process.err(), "left at once; go on with: train_mnist --resume " + folder + "\n"));
  CHECK(process.out().empty());
}

TEST_CASE("an interrupt before the run begins is answered, and leaves no folder") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  int code = -SIGINT;
  std::string err;
  // Drawing 60,000 digits takes seconds; the first moments are before the program listens.
  for (auto delay = milliseconds(25); code == -SIGINT && delay < milliseconds(2000); delay *= 2) {
    TrainMnist process(scratch, {"--dataset", "drawn", "--threads", "1", "--output-dir", folder});
    std::this_thread::sleep_for(delay);
    process.signal(SIGINT);
    code = process.wait();
    err = process.err();
  }
  CHECK(code == 130);
  CHECK(err.ends_with("interrupted before the run began\n"));  // perhaps behind the first line
  CHECK(!std::filesystem::exists(folder));
}

TEST_CASE("a refused resume leaves the run as it was") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  const Arguments flags{"--epochs", "2", "--lr-scheduler", "cosine"};
  REQUIRE(run(scratch, quick(folder, flags)) == 0);
  const std::string config = slurp(folder + "/config.json");
  std::string err;
  CHECK(run(scratch, {"--resume", folder, "--epochs", "4"}, &err) == 1);
  CHECK(contains(err,
                 "--epochs 2 then, 4 now: its schedule, cosine, spans all epochs of the run\n"
                 "  leave them out, or begin a new run"));
  CHECK(slurp(folder + "/config.json") == config);
  std::string damaged = config;
  damaged.replace(damaged.find("cosine"), 6, "cosinf");
  cks::write_file_atomically(folder + "/config.json", damaged);
  CHECK(run(scratch, {"--resume", folder}, &err) == 1);
  CHECK(contains(err, folder + "/config.json: flag --lr-scheduler: 'cosinf'"));
  cks::write_file_atomically(folder + "/config.json", config);
  CHECK(run(scratch, {"--resume", folder}) == 0);
  // Without its state it would begin anew over its own results.
  std::filesystem::remove(folder + "/last.state.safetensors");
  const std::string weights = slurp(folder + "/last.safetensors");
  CHECK(run(scratch, {"--resume", folder}, &err) == 1);
  CHECK(contains(err, "last.state.safetensors is missing"));
  CHECK(slurp(folder + "/last.safetensors") == weights);
}

TEST_CASE("flags that do not fit together leave no folder; one folder takes one run") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  CHECK(run(scratch, quick(folder, {"--epochs", "1", "--lr-scheduler", "onecycle",
                                    "--lr-warmup-epochs", "1"})) != 0);
  CHECK(!std::filesystem::exists(folder));
  TrainMnist first(scratch, quick(folder, {"--epochs", "3"}));
  TrainMnist second(scratch, quick(folder, {"--epochs", "3"}));
  const int codes[] = {first.wait(), second.wait()};
  CHECK(std::min(codes[0], codes[1]) == 0);
  CHECK(std::max(codes[0], codes[1]) == 1);
}

TEST_CASE("kill -9 at random moments leaves a checkpoint that loads and resumes") {
  const ScratchFolder scratch;
  constexpr int kKills = kSanitized ? 4 : 20;
  const Arguments flags{"--epochs",
                        kSanitized ? "10" : "40",
                        "--save-every-steps",
                        "3",
                        "--device",
                        "cpu",
                        "--threads",
                        "1",
                        "--quiet"};
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run(scratch, quick(scratch / "whole", flags)) == 0);
  const auto whole =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  const std::string folder = scratch / "run";
  std::mt19937 random(7);  // NOLINT(bugprone-random-generator-seed): the same moments each time
  // All of them make up less than the whole run, on a fast machine and on a slow one.
  std::uniform_int_distribution<int> delay(5, std::max(10, static_cast<int>(whole.count() / 14)));
  int killed = 0;
  int with_checkpoint = 0;
  for (int i = 0; i < kKills; ++i) {
    const bool begun = std::filesystem::exists(folder + "/config.json");
    TrainMnist process(scratch,
                       begun ? Arguments{"--resume", folder, "--quiet"} : quick(folder, flags));
    if (i == 0) {
      REQUIRE(
          eventually([&] { return std::filesystem::exists(folder + "/last.state.safetensors"); }));
    }
    std::this_thread::sleep_for(milliseconds(delay(random)));
    process.signal(SIGKILL);
    killed += process.wait() == -SIGKILL ? 1 : 0;
    for (const char* name : {"last.state.safetensors", "last.safetensors", "best.safetensors"}) {
      const std::string path = folder + "/" + name;
      if (std::filesystem::exists(path)) {
        CAPTURE(i);
        CHECK_NOTHROW(cks::load_safetensors(path));
        ++with_checkpoint;
      }
    }
  }
  CHECK(killed >= kKills / 2);  // on a fast machine the run may have ended before the last kills
  CHECK(with_checkpoint > 0);
  REQUIRE(run(scratch, {"--resume", folder}) == 0);
  CHECK(slurp(folder + "/last.safetensors") == slurp(scratch / "whole/last.safetensors"));
}

TEST_CASE("the command that resumes a run can be pasted into a shell") {
  using cks::apps::resume_command;
  CHECK(resume_command("train_mnist", "runs/a-1") == "train_mnist --resume runs/a-1");
  CHECK(resume_command("train_mnist", "my runs/it's") == "train_mnist --resume 'my runs/it'\\''s'");
}

}  // namespace
