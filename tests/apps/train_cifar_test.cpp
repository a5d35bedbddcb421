// train_cifar as a user meets it.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/drawn/drawn_pictures.h"
#include "cks/datasets/images/image_io.h"
#include "cks/datasets/images/image_write.h"
#include "cks/train/checkpoint.h"
#include "cks/train/run_folder.h"
#include "tests/datasets/pictures.h"
#include "tests/support/process.h"

namespace {

using cks::RunFolder;
using namespace cks::testing;

Outcome run(const ScratchFolder& scratch, const Arguments& arguments) {
  return run_process(CKS_TRAIN_CIFAR, scratch, arguments);
}

/// A few small steps on drawn pictures.
Arguments quick(const std::string& folder, const Arguments& more = {}) {
  return joined({"--dataset", "drawn", "--limit-train", "120", "--limit-test", "60", "--device",
                 "cpu", "--batch-size", "25", "--output-dir", folder, "--model", "resnet20"},
                more);
}

/// DIR/train and DIR/test with the first drawn pictures of two classes, larger and of one colour in
/// each 8 x 8 pixels, which a JPEG keeps, as save(path without its end, picture, place) writes
/// them.
void write_drawn(const std::string& dir,
                 const std::function<void(const std::string&, const cks::Tensor&, int)>& save) {
  const cks::TrainTest data = cks::drawn_pictures({.train_count = 160, .test_count = 80});
  for (const auto& [half, images] : {std::pair("train", &data.train), {"test", &data.test}}) {
    const auto labels = images->labels.to_vector<std::int64_t>();
    for (std::int64_t i = 0; i < images->size(); ++i) {
      const std::int64_t label = labels[static_cast<std::size_t>(i)];
      if (label > 1) {
        continue;
      }
      const cks::Tensor small = images->images.slice(i, i + 1).reshape({32, 32, 3});
      cks::Tensor large = cks::Tensor::empty({160, 256, 3}, cks::DType::uint8);  // cut: not square
      for (std::int64_t pixel = 0; pixel < large.numel() / 3; ++pixel) {
        const std::int64_t from = (pixel / 256 / 8) * 32 + pixel % 256 / 8;
        std::copy_n(small.data_as<std::uint8_t>() + 3 * from, 3,
                    large.data_as<std::uint8_t>() + 3 * pixel);
      }
      const std::string folder = dir + "/" + half + "/" + (label == 0 ? "a" : "b");
      std::filesystem::create_directories(folder);
      save(folder + "/" + std::to_string(1000 + i), large, static_cast<int>(i));
    }
  }
}

void write(const std::string& path, const Bytes& bytes) {
  cks::write_file_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

TEST_CASE("train_cifar: photos turned by EXIF are those that are upright, to the last bit") {
  const ScratchFolder scratch;
  write_drawn(scratch / "upright", [](const std::string& path, const cks::Tensor& picture, int) {
    write(path + ".jpg", jpeg(picture, 100));
  });
  // turned(turned(x, k), inverse of k) is x: what is stored is the view turned back.
  constexpr std::array kInverse{1, 2, 3, 4, 5, 8, 7, 6};
  write_drawn(scratch / "turned", [&](const std::string& path, const cks::Tensor& picture, int i) {
    const int orientation = i % 8 + 1;
    write(path + ".jpg",
          with_exif(jpeg(turned(picture, kInverse.at(static_cast<std::size_t>(i % 8))), 100),
                    exif(static_cast<std::uint32_t>(orientation), i % 3 == 0)));
  });
  write_drawn(scratch / "ignored", [&](const std::string& path, const cks::Tensor& picture, int i) {
    write(path + ".jpg", jpeg(turned(picture, kInverse.at(static_cast<std::size_t>(i % 8))), 100));
  });
  const auto weights = [&](const std::string& name) {
    const Outcome outcome =
        run(scratch, {"--dataset", "folder", "--data-dir", scratch / name, "--image-size", "16",
                      "--model", "mlp", "--epochs", "3", "--batch-size", "8", "--device", "cpu",
                      "--quiet", "--output-dir", scratch / ("run-" + name)});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    std::vector<std::vector<float>> values;
    for (const auto& tensor :
         cks::load_safetensors(scratch / ("run-" + name + "/last.safetensors")).tensors) {
      values.push_back(tensor.second.to_vector<float>());
    }
    return values;
  };
  const auto accuracies = [&](const std::string& name) {
    std::vector<double> values;
    for (const auto& row : RunFolder::open(scratch / ("run-" + name)).read_metrics()) {
      values.insert(values.end(), {row.train_loss, row.test_accuracy, row.test_loss});
    }
    return values;
  };
  const auto upright = weights("upright");
  CHECK(weights("turned") == upright);
  CHECK(accuracies("turned") == accuracies("upright"));
  CHECK(weights("ignored") != upright);  // without the tag it is another set
}

TEST_CASE(
    "train_cifar: says what runs before it reads pictures, and keeps them for the next time") {
  const ScratchFolder scratch;
  write_drawn(scratch / "pictures", [](const std::string& path, const cks::Tensor& picture, int) {
    write(path + ".png", png(picture));
  });
  const Arguments arguments{"--dataset",    "folder", "--data-dir",   scratch / "pictures",
                            "--image-size", "24",     "--model",      "mlp",
                            "--epochs",     "1",      "--batch-size", "8",
                            "--device",     "cpu"};
  const auto files = [&] {
    std::vector<std::string> paths;
    std::error_code ignored;
    for (const auto& entry :
         std::filesystem::directory_iterator(scratch / "cache/cks/pictures", ignored)) {
      paths.push_back(entry.path().string());
    }
    return paths;
  };
  REQUIRE(run(scratch, joined(arguments, {"--no-cache", "--dry-run"})).code == 0);
  CHECK(files().empty());
  REQUIRE(run(scratch, joined(arguments, {"--dry-run"})).code == 0);
  REQUIRE(files().size() == 1);
  // What is in the cache is what is trained on: a picture that is no picture any more is not read.
  const Outcome upright = run(scratch, joined(arguments, {"--output-dir", scratch / "first"}));
  REQUIRE_MESSAGE(upright.code == 0, upright.err);
  CHECK(contains(slurp(scratch / "first/run.log"), "  cks "));
  const std::string cached = slurp(files().front());
  cks::write_file_atomically(files().front(), cached.substr(0, cached.size() - 7));
  const Outcome rebuilt = run(scratch, joined(arguments, {"--output-dir", scratch / "second"}));
  REQUIRE_MESSAGE(rebuilt.code == 0, rebuilt.err);
  CHECK(slurp(files().front()) == cached);
  CHECK(slurp(scratch / "second/confusion.csv") == slurp(scratch / "first/confusion.csv"));
  // A picture that cannot be read comes after the line that says what runs.
  write(scratch / "pictures/train/a/broken.png", {1, 2, 3});
  const Outcome broken = run(scratch, joined(arguments, {"--dry-run"}));
  CHECK(broken.code == 1);
  CHECK(broken.err.starts_with("cks "));
  CHECK(broken.err.find("broken.png") > broken.err.find('\n'));
}

TEST_CASE("train_cifar: balanced class weights let a rare class be found") {
  const ScratchFolder scratch;
  // Two levels of grey that overlap, one of them rare in training.
  const auto write_class = [&](const std::string& folder, int count, int level) {
    std::filesystem::create_directories(scratch / "pictures/" + folder);
    for (int i = 0; i < count; ++i) {
      const int grey = level + 60 * i / count;
      const cks::Tensor picture = cks::Tensor::full({16, 16, 3}, grey, cks::DType::uint8);
      write(scratch / "pictures/" + folder + "/" + std::to_string(i) + ".png", png(picture));
    }
  };
  write_class("train/common", 120, 80);
  write_class("train/rare", 6, 120);
  write_class("test/common", 40, 80);
  write_class("test/rare", 40, 120);
  const auto balanced_accuracy = [&](const std::string& weights) {
    const Outcome outcome =
        run(scratch, {"--dataset", "folder", "--data-dir", scratch / "pictures", "--model", "mlp",
                      "--epochs", "6", "--batch-size", "16", "--device", "cpu", "--class-weights",
                      weights, "--output-dir", scratch / weights});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(contains(outcome.err, ", class weights balanced") == (weights == "balanced"));
    return nlohmann::json::parse(slurp(scratch / weights + "/summary.json"))
        .at("balanced")
        .at("accuracy")
        .get<double>();
  };
  CHECK(balanced_accuracy("none") == 0.5);  // all are taken for the other class
  CHECK(balanced_accuracy("balanced") > 0.6);
  const Outcome resumed =
      run(scratch, {"--resume", scratch / "balanced", "--epochs", "5", "--class-weights", "none"});
  CHECK(resumed.code == 1);
  CHECK(contains(resumed.err, "--class-weights balanced then, none now"));
}

TEST_CASE("train_cifar: the fit of pictures is stored with the weights, and predict uses it") {
  const ScratchFolder scratch;
  write_drawn(scratch / "pictures", [](const std::string& path, const cks::Tensor& picture, int) {
    write(path + ".png", png(picture));
  });
  const Arguments arguments{"--dataset",    "folder", "--data-dir", scratch / "pictures",
                            "--model",      "mlp",    "--epochs",   "2",
                            "--batch-size", "8",      "--device",   "cpu"};
  const std::string picture = scratch / "pictures/test/a";
  std::vector<std::string> answers;
  for (const std::string fit : {"stretch", "crop", "letterbox"}) {
    CAPTURE(fit);
    const Outcome trained =
        run(scratch,
            joined(arguments, {"--fit", fit, "--image-size", "16", "--output-dir", scratch / fit}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    const std::string weights = scratch / fit + "/best.safetensors";
    CHECK(cks::name_of(cks::read_checkpoint_info(weights).fit) == fit);
    const auto predict = [&](const Arguments& more) {
      const Outcome outcome = run_process(
          CKS_PREDICT, scratch, joined({"--weights", weights, "--device", "cpu", picture}, more));
      REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
      return outcome.out;
    };
    CHECK(predict({"--fit", fit}) == predict({}));
    CHECK(predict({"--fit", fit == "crop" ? "letterbox" : "crop"}) != predict({}));
    // What the run tested is what predict sees.
    const Outcome evaluated = run_process(
        CKS_PREDICT, scratch,
        {"--weights", weights, "--device", "cpu", "--json", "--eval", scratch / "pictures/test"});
    const auto json = nlohmann::json::parse(evaluated.out);
    const auto summary = nlohmann::json::parse(slurp(scratch / fit + "/summary.json"));
    CHECK(json.at("accuracy").get<double>() ==
          doctest::Approx(summary.at("best_test_accuracy").get<double>()));
  }
  const Outcome own_size = run(scratch, joined(arguments, {"--fit", "crop"}));
  CHECK(own_size.code == 2);
  CHECK(contains(own_size.err, "--fit does not go with --image-size 0"));
}

TEST_CASE("train_cifar: begins with the weights of a run of other classes, part of them frozen") {
  const ScratchFolder scratch;
  const Outcome first = run(scratch, quick(scratch / "first", {"--epochs", "1"}));
  REQUIRE_MESSAGE(first.code == 0, first.err);
  for (const char* half : {"train", "test"}) {
    for (const char* name : {"a", "b", "c"}) {
      const std::string folder = scratch / "pictures" + ("/" + std::string(half)) + "/" + name;
      std::filesystem::create_directories(folder);
      for (int i = 0; i < 8; ++i) {
        const cks::Tensor image =
            cks::Tensor::full({32, 32, 3}, i * 10 + name[0], cks::DType::uint8);
        cks::write_png(folder + "/" + std::to_string(i) + ".png", image);
      }
    }
  }
  const std::string weights = scratch / "first/best.safetensors";
  const Arguments arguments{"--dataset", "folder",       "--data-dir",     scratch / "pictures",
                            "--model",   "resnet20",     "--epochs",       "1",
                            "--device",  "cpu",          "--init-weights", weights,
                            "--freeze",  "conv1,layer1", "--output-dir",   scratch / "second"};
  const Outcome second = run(scratch, arguments);
  REQUIRE_MESSAGE(second.code == 0, second.err);
  CHECK(contains(second.err, "weights   from " + weights));
  CHECK(
      contains(second.err, "left as drawn: fc.weight ([10,64] in the file, [3,64] in the model)"));
  CHECK(contains(second.err, "frozen    conv1,layer1: "));
  const auto tensors_of = [](const std::string& path) {
    std::map<std::string, std::vector<float>> values;
    for (const auto& [name, tensor] : cks::load_safetensors(path).tensors) {
      if (tensor.dtype() == cks::DType::float32) {
        values.emplace(name, tensor.to_vector<float>());
      }
    }
    return values;
  };
  const auto before = tensors_of(weights);
  const auto after = tensors_of(scratch / "second/last.safetensors");
  CHECK(after.at("conv1.weight") == before.at("conv1.weight"));
  CHECK(after.at("layer2.0.conv1.weight") != before.at("layer2.0.conv1.weight"));
  // The weights may be gone when the run goes on.
  std::filesystem::remove(weights);
  const Outcome resumed = run(scratch, {"--resume", scratch / "second", "--epochs", "2"});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(tensors_of(scratch / "second/last.safetensors").at("conv1.weight") ==
        before.at("conv1.weight"));

  const Outcome wrong = run(scratch, quick(scratch / "third", {"--freeze", "conv7"}));
  CHECK(wrong.code == 1);
  CHECK(contains(wrong.err, "no parameter matches \"conv7\""));
  CHECK(!std::filesystem::exists(scratch / "third"));
}

TEST_CASE("train_cifar: ResNet-20 learns drawn pictures, and the run's files say how") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  const Outcome result =
      run(scratch, {"--dataset",    "drawn",    "--limit-train", "2000", "--limit-test", "300",
                    "--preset",     "resnet20", "--batch-size",  "50",   "--lr",         "0.1",
                    "--epochs",     "4",        "--keep",        "2",    "--target-acc", "0.35",
                    "--output-dir", folder});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.err,
                 "training  preset resnet20: sgd, learning rate 0.1, Nesterov momentum "
                 "0.9, weight decay 0.0005, onecycle over 160 steps, batch 50, random crop 4, "
                 "random flip, 4 epochs, seed 1"));
  CHECK(contains(result.out, "target    35.00 % was reached in"));
  const RunFolder files = RunFolder::open(folder);
  CHECK(files.read_metrics().back().test_accuracy >= 0.35);
  CHECK(contains(slurp(files.summary_file()), "\"striped ring\": "));
  CHECK(contains(result.out, "report    " + files.report_file() + "\n"));
  CHECK(contains(slurp(files.report_file()), "striped ring"));
  CHECK(contains(slurp(files.report_file()), "<h2>Augmented images</h2>"));
  CHECK(contains(slurp(files.report_file()), "<h2>Mistakes</h2>"));
  CHECK(contains(slurp(files.report_file()), ", taken for "));
  for (const char* name : {"curves.svg", "confusion.svg", "filters.svg", "savings.svg"}) {
    CAPTURE(name);
    CHECK(contains(slurp(files.file(name)), "</svg>\n"));
  }
  const std::string table = slurp(files.file("confusion.csv"));
  CHECK(std::count(table.begin(), table.end(), '\n') == 11);
  CHECK(!std::filesystem::exists(files.epoch_file(2)));
  for (const std::int64_t epoch : {3, 4}) {
    CHECK(cks::read_checkpoint_info(files.epoch_file(epoch)).notes.at("epoch") ==
          std::to_string(epoch));
  }
  CHECK(slurp(files.epoch_file(4)).size() > 1000000);
  const cks::CheckpointInfo info = cks::read_checkpoint_info(files.best_file());
  CHECK(info.model == "resnet20");
  CHECK(info.class_names.size() == 10);
}

TEST_CASE("train_cifar: the momentum's cycle, crops and a dropped batch resume bit for bit") {
  const ScratchFolder scratch;
  // The preset's recipe on a smaller network, which sanitizers have to get through three times.
  const Arguments flags{
      "--preset",     "resnet18-30", "--model",    "resnet20", "--epochs",     "6",
      "--lr",         "0.05",        "--threads",  "1",        "--keep",       "1",
      "--cutout",     "5",           "--rotation", "10",       "--scale",      "0.1",
      "--brightness", "0.2",         "--contrast", "0.2",      "--saturation", "0.2"};
  REQUIRE(run(scratch, quick(scratch / "whole", flags)).code == 0);
  const std::string folder = scratch / "cut";
  Process process(CKS_TRAIN_CIFAR, scratch, quick(folder, flags));
  REQUIRE(eventually([&] { return contains(slurp(folder + "/metrics.csv"), "\n1,"); }));
  process.signal(SIGINT);
  CHECK(process.wait() == 130);
  CHECK(contains(process.err(), "Nesterov momentum 0.95 to 0.85 and back"));
  CHECK(contains(process.err(),
                 "random cutout 5, random rotation 10, random scale 0.1, random "
                 "brightness 0.2, random contrast 0.2, random saturation 0.2"));
  CHECK(
      contains(process.err(), "onecycle over 24 steps, batch 25 (the last, smaller one dropped)"));
  const Outcome resumed = run(scratch, {"--resume", folder, "--threads", "2"});
  CHECK(resumed.code == 0);
  CHECK(contains(resumed.err, "preset resnet18-30: "));
  for (const char* name : {"last.safetensors", "best.safetensors", "confusion.csv", "confusion.svg",
                           "epoch-0006.safetensors"}) {
    CAPTURE(name);
    CHECK(slurp(folder + "/" + name) == slurp(scratch / ("whole/" + std::string(name))));
  }
  CHECK(!std::filesystem::exists(folder + "/epoch-0005.safetensors"));
}

TEST_CASE("train_cifar: a resume goes on in its own folder, with its own recipe") {
  const ScratchFolder scratch;
  const std::string folder = scratch / "run";
  REQUIRE(run(scratch, quick(folder, {"--epochs", "1"})).code == 0);
  Outcome result = run(scratch, {"--resume", folder, "--output-dir", scratch / "other"});
  CHECK(result.code == 2);
  CHECK(contains(result.err, folder));
  CHECK(contains(result.err, scratch / "other"));
  CHECK(!std::filesystem::exists(scratch / "other"));
  CHECK(run(scratch, {"--resume", folder, "--output-dir", folder + "/"}).code == 0);
  result = run(scratch, {"--resume", folder, "--model", "vgg16", "--opt", "sgd", "--dataset",
                         "cifar10", "--crop-padding", "2"});
  CHECK(result.code == 1);
  for (const char* line : {"--model resnet20 then, vgg16 now", "--opt adam then, sgd now",
                           "--dataset drawn then, cifar10 now", "--crop-padding 0 then, 2 now"}) {
    CHECK(contains(result.err, line));
  }
}

TEST_CASE("train_cifar: several runs, each with its seed and folder, and what they came to") {
  const ScratchFolder scratch;
  const std::string group = scratch / "group";
  const Outcome result =
      run(scratch,
          quick(group, {"--epochs", "1", "--runs", "2", "--seed", "5", "--target-acc", "0.01"}));
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.out, "mean +- deviation"));
  CHECK(contains(result.out, "2 of 2 runs reached 1.00 %"));
  const std::string csv = slurp(group + "/runs.csv");
  CHECK(contains(csv, "\n5,"));
  CHECK(contains(csv, "\n6,"));
  // Each is what a run of its own would be.
  REQUIRE(run(scratch, quick(scratch / "alone", {"--epochs", "1", "--seed", "6"})).code == 0);
  CHECK(slurp(group + "/seed-6/last.safetensors") == slurp(scratch / "alone/last.safetensors"));
  CHECK(run(scratch, {"--resume", group + "/seed-6", "--epochs", "2"}).code == 0);
  CHECK(run(scratch, quick(group, {"--runs", "2", "--seed", "5"})).code == 1);  // already there
}

TEST_CASE("train_cifar: interrupted runs go on together, bit for bit, with one table at the end") {
  const ScratchFolder scratch;
  // Many epochs of a network that is quick under a sanitizer, too.
  const Arguments flags{"--model", "mlp", "--limit-train", "250", "--epochs", "30", "--runs", "3"};
  REQUIRE(run(scratch, quick(scratch / "whole", flags)).code == 0);
  const std::string group = scratch / "cut";
  Process process(CKS_TRAIN_CIFAR, scratch, quick(group, flags));
  REQUIRE(eventually([&] { return contains(slurp(group + "/seed-2/metrics.csv"), "\n1,"); }));
  process.signal(SIGINT);
  REQUIRE(process.wait() == 130);
  CHECK(contains(process.out(), "go on with: train_cifar --resume " + group + "\n"));
  CHECK_FALSE(contains(process.out(), "mean +- deviation"));
  CHECK(!std::filesystem::exists(group + "/seed-3"));

  const auto first_run = std::filesystem::last_write_time(group + "/seed-1/last.safetensors");
  Outcome result = run(scratch, {"--resume", group, "--lr", "0.5"});
  CHECK(result.code == 1);
  CHECK(contains(result.err, "--lr 0.001 then, 0.5 now"));
  // A seed that was killed before it saved anything begins anew.
  std::filesystem::create_directory(group + "/seed-3");
  cks::write_file_atomically(group + "/seed-3/run.log", "");
  result = run(scratch, {"--resume", group});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.err, "note      " + group + "/seed-1 is done\n"));
  CHECK(contains(result.err, "note      resumed " + group + "/seed-2/last.state.safetensors"));
  CHECK(std::filesystem::last_write_time(group + "/seed-1/last.safetensors") == first_run);
  for (const char* seed : {"1", "2", "3"}) {
    const std::string name = "/seed-" + std::string(seed) + "/last.safetensors";
    CHECK(slurp(group + name) == slurp((scratch / "whole") + name));
    CHECK(contains(slurp(group + "/runs.csv"), "\n" + std::string(seed) + ","));
  }
  const std::string log = slurp(group + "/run.log");
  CHECK(contains(log, "seed-2: interrupted\n"));
  CHECK(contains(log, "seed-2: test accuracy "));
  // All are done: their results alone. More epochs are for all of them.
  const Outcome again = run(scratch, {"--resume", group});
  CHECK(again.code == 0);
  CHECK(contains(result.out, again.out));
  CHECK(contains(again.out, "mean +- deviation"));
  REQUIRE(run(scratch, {"--resume", group, "--epochs", "31"}).code == 0);
  CHECK(RunFolder::open(group).read_config().at("flags").at("epochs") == "31");
  CHECK(RunFolder::open(group + "/seed-1").read_metrics().size() == 31);
}

TEST_CASE("train_cifar: of many classes the header names the first") {
  const ScratchFolder scratch;
  for (int i = 10; i < 40; ++i) {
    const std::string folder = scratch / ("pictures/class" + std::to_string(i));
    std::filesystem::create_directories(folder);
    for (const char* name : {"/0.png", "/1.png"}) {
      cks::write_png(folder + name, cks::Tensor::full({8, 8, 3}, i, cks::DType::uint8));
    }
  }
  const Outcome result = run(scratch, {"--dataset", "folder", "--data-dir", scratch / "pictures",
                                       "--model", "mlp", "--dry-run"});
  CHECK(result.code == 0);
  CHECK(contains(result.err, "30 classes (class10, class11, "));
  CHECK(contains(result.err, ", ...)"));
  CHECK_FALSE(contains(result.err, "class39"));
}

TEST_CASE("train_cifar: a folder of own pictures, one of which is broken") {
  const ScratchFolder scratch;
  const std::string pictures = scratch / "pictures";
  for (const char* half : {"train", "test"}) {
    for (int label = 0; label < 3; ++label) {
      const std::string folder = pictures + "/" + half + "/class" + std::to_string(label);
      std::filesystem::create_directories(folder);
      for (int i = 0; i < 4; ++i) {
        cks::write_png(folder + "/" + std::to_string(i) + ".png",
                       cks::Tensor::full({20 + i, 24, 3}, 80 * label, cks::DType::uint8));
      }
    }
  }
  const Arguments flags{"--dataset",    "folder", "--data-dir",   pictures,
                        "--epochs",     "2",      "--model",      "mlp",
                        "--batch-size", "4",      "--device",     "cpu",
                        "--augment",    "--flip", "--output-dir", scratch / "run"};
  const auto with = [&](Arguments more) {
    more.insert(more.begin(), flags.begin(), flags.end());
    return run(scratch, more);
  };
  Outcome result = with({});
  CHECK(result.code == 1);
  CHECK(contains(result.err, "--image-size"));
  cks::write_file_atomically(pictures + "/test/class1/x.png", "no picture");
  result = with({"--image-size", "16"});
  CHECK(result.code == 1);
  CHECK(contains(result.err, "test/class1/x.png"));
  CHECK(contains(result.err, "--skip-broken"));
  CHECK(!std::filesystem::exists(scratch / "run"));
  result = with({"--image-size", "16", "--skip-broken"});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.err, "12 train, 12 test, 16x16x3, 3 classes (class0, class1, class2)\n"));
  CHECK_FALSE(contains(result.err, "cut by seed"));
  CHECK(contains(result.err, "warning: test: 1 of 13 images are broken"));
  CHECK(contains(slurp(scratch / "run/run.log"), "left out: "));
  result = run(scratch, {"--dataset", "folder", "--data-dir", pictures + "/train", "--image-size",
                         "16", "--test-share", "0.25", "--model", "mlp", "--dry-run"});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.err, pictures + "/train, cut by seed, 25 % for testing: 9 train, 3 test"));
  CHECK(cks::read_checkpoint_info(scratch / "run/last.safetensors").class_names ==
        std::vector<std::string>{"class0", "class1", "class2"});
}

TEST_CASE("train_cifar: the profile has the layers, forward and backward") {
  const ScratchFolder scratch;
  const Outcome result = run(scratch, quick(scratch / "run", {"--epochs", "1", "--profile"}));
  CHECK(result.code == 0);
  CHECK(contains(result.out, "layer3.2.conv2"));
  CHECK(contains(result.out, "mean of 5 steps"));
}

TEST_CASE("train_cifar: wrong flags, missing data, broken pictures") {
  const ScratchFolder scratch;
  Outcome result = run(scratch, {"--list-models"});
  CHECK(result.code == 0);
  CHECK(contains(result.out, "resnet18_3x3stem"));
  CHECK_FALSE(contains(result.out, "autoencoder"));
  for (const Arguments& wrong :
       {Arguments{"--epochs", "9000000000000000000"}, Arguments{"--batch-size", "1000000000000"},
        Arguments{"--lr", "1e300"}, Arguments{"--model", "autoencoder"},
        Arguments{"--seed", "9223372036854775807", "--runs", "2", "--dataset", "drawn",
                  "--limit-train", "20", "--limit-test", "10"},
        Arguments{"--preset", "fast"}, Arguments{"--dataset", "folder"},
        Arguments{"--dataset", "drawn", "--skip-broken"},
        Arguments{"--dataset", "drawn", "--test-share", "0.2"},
        Arguments{"--dataset", "drawn", "--data-dir", scratch.path()}}) {
    result = run(scratch, wrong);
    CAPTURE(wrong.front());
    CHECK(result.code == 2);
    CHECK(contains(result.err, "error: "));
  }
  result = run(scratch, quick(scratch / "caf\xe9"));
  CHECK(result.code == 2);
  CHECK(contains(result.err, "--output-dir is '" + scratch / "caf\xe9"));
  result = run(scratch, {"--data-dir", scratch / "nothing"});
  CHECK(result.code == 1);
  CHECK(contains(result.err, "--dataset drawn"));
  result = run(scratch, quick(scratch / "none", {"--preset", "resnet18-30", "--opt", "adam"}));
  CHECK(result.code == 2);
  CHECK(contains(result.err, "--cycle-momentum=false"));
  CHECK(run(scratch, quick(scratch / "run", {"--preset", "resnet18-30", "--opt", "adam",
                                             "--cycle-momentum=false", "--dry-run"}))
            .code == 0);
  CHECK(!std::filesystem::exists(scratch / "run"));
}

}  // namespace
