// predict, and the filters of inspect, as a user meets them, on a network trained here.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cks/core/io/file.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/datasets/images/image_io.h"
#include "cks/models/registry.h"
#include "cks/train/checkpoint.h"
#include "tests/datasets/pictures.h"
#include "tests/support/devices.h"
#include "tests/support/process.h"

namespace {

using cks::Tensor;
using namespace cks::testing;
using Json = nlohmann::json;

constexpr std::int64_t kTestImages = 200;

/// LeNet-5 after two epochs on 6,000 drawn digits, and its test digits; trained once.
struct Trained {
  ScratchFolder scratch;
  std::string weights = scratch / "run/best.safetensors";
  double test_accuracy = 0.0;
  cks::ImageDataset test = cks::drawn_digits({.train_count = 1, .test_count = kTestImages}).test;

  Trained() {
    const Outcome outcome = run_process(
        CKS_TRAIN_MNIST, scratch,
        {"--dataset", "drawn", "--limit-train", "6000", "--limit-test", std::to_string(kTestImages),
         "--epochs", "2", "--quiet", "--device", "cpu", "--output-dir", scratch / "run"});
    REQUIRE(outcome.code == 0);
    test_accuracy =
        Json::parse(cks::read_file(scratch / "run/summary.json")).at("best_test_accuracy");
  }
  /// One test digit [28,28,1].
  Tensor digit(std::int64_t i) const { return test.images.slice(i, i + 1).reshape({28, 28, 1}); }
  std::int64_t label(std::int64_t i) const { return test.labels.data_as<std::int64_t>()[i]; }
};

const Trained& trained() {
  static const Trained instance;
  return instance;
}

void write(const std::string& path, const Bytes& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  cks::write_file_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

/// predict on the CPU with the trained weights.
Outcome predict(const ScratchFolder& scratch, const Arguments& more) {
  return run_process(CKS_PREDICT, scratch,
                     joined({"--weights", trained().weights, "--device", "cpu"}, more));
}

/// The pictures of a JSON answer, whose exit code must be `code`.
Json pictures_of(const Outcome& outcome, int code = 0) {
  REQUIRE_MESSAGE(outcome.code == code, outcome.err);
  return Json::parse(outcome.out).at("pictures");
}

/// The first `count` test digits as DIR/label/i.png.
void write_folder(const std::string& dir, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    write(dir + "/" + std::to_string(trained().label(i)) + "/" + std::to_string(i) + ".png",
          cks::testing::png(trained().digit(i)));
  }
}

/// A grey image as colour, each pixel changed.
template <class Change>
Tensor colour(const Tensor& grey, Change&& change) {
  Tensor image = Tensor::empty({grey.size(0), grey.size(1), 3}, cks::DType::uint8);
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    image.data_as<std::uint8_t>()[i] = change(grey.data_as<std::uint8_t>()[i / 3]);
  }
  return image;
}

TEST_CASE("predict names classes of pictures of any kind and size") {
  const ScratchFolder scratch;
  const Tensor digit = trained().digit(3);
  const auto same = [](std::uint8_t x) { return x; };
  const auto negative = [](std::uint8_t x) { return static_cast<std::uint8_t>(255 - x); };
  write(scratch / "grey.png", cks::testing::png(digit));
  write(scratch / "colour.png", cks::testing::png(colour(digit, same)));
  write(scratch / "paper.png", cks::testing::png(colour(digit, negative)));
  write(scratch / "large.jpg", cks::testing::jpeg(cks::resize_image(digit, 301, 173)));
  const Json pictures = pictures_of(predict(
      scratch, {"--json", scratch / "grey.png", scratch / "colour.png", scratch / "large.jpg"}));
  REQUIRE(pictures.size() == 3);
  for (const Json& picture : pictures) {
    CAPTURE(picture.dump());
    REQUIRE(picture.at("top").size() == 5);
    CHECK(picture["top"][0]["index"] == trained().label(3));
    CHECK(picture["top"][0]["class"] == std::to_string(trained().label(3)));
    for (std::size_t rank = 1; rank < 5; ++rank) {
      CHECK(picture["top"][rank]["probability"] <= picture["top"][rank - 1]["probability"]);
    }
  }
  CHECK(pictures[0]["top"] == pictures[1]["top"]);  // grey as colour has the luminance it had
  CHECK(pictures[2]["height"] == 301);
  CHECK(pictures[2]["width"] == 173);

  // As many at a time as above, so that sums are made in the same order.
  const std::string paper = scratch / "paper.png";
  const Json inverted = pictures_of(predict(scratch, {"--json", "--invert", paper, paper, paper}));
  CHECK(inverted[0]["top"] == pictures[0]["top"]);
  // Dark digits are strange to a model of light ones; prepared as MNIST's are they are not.
  const Outcome strange = predict(scratch, {paper});
  CHECK(contains(strange.err, "note: '" + paper + "' is much lighter than what the model was"));
  const Outcome prepared = predict(scratch, {"--prepare", "mnist", "--top-k", "1", paper});
  CHECK(prepared.err.empty());
  CHECK(contains(prepared.out, paper + "   " + std::to_string(trained().label(3)) + " "));
  const std::string ours = CKS_DOCS "/digit.png";  // of the README: pen on paper, in a shadow
  CHECK(contains(predict(scratch, {"--prepare", "mnist", "--top-k", "1", ours}).out, "   3 9"));
  CHECK(predict(scratch, {"--prepare", "mnist", "--invert", paper}).code == 2);
  CHECK(predict(scratch, {"--prepare", "mnist", "--fit", "crop", paper}).code == 2);
  CHECK(predict(scratch, {"--fit", "crop", paper}).code == 0);
  write(scratch / "blank.png", cks::testing::png(colour(digit, [](auto) { return 200; })));
  CHECK(contains(predict(scratch, {"--prepare", "mnist", scratch / "blank.png"}).err,
                 "nothing stands out that could be a digit"));

  // Text, with all classes: their probabilities make up 1.
  const Json all = pictures_of(predict(scratch, {"--json", "--top-k", "99", scratch / "grey.png"}));
  double sum = 0.0;
  for (const Json& entry : all[0]["top"]) {
    sum += entry["probability"].get<double>();
  }
  CHECK(all[0]["top"].size() == 10);
  CHECK(std::abs(sum - 1.0) < 1e-5);
  const Outcome text = predict(scratch, {"--top-k", "1", scratch / "grey.png"});
  std::array<char, 64> line{};
  std::snprintf(line.data(), line.size(), "grey.png   %s %.2f %%   (28x28 pixels)\n",
                all[0]["top"][0]["class"].get<std::string>().c_str(),
                100.0 * all[0]["top"][0]["probability"].get<double>());
  CHECK(text.out == scratch.path() + "/" + line.data());
  CHECK(text.err.empty());
  CHECK(predict(scratch, {"--top-k", "1", scratch / "large.jpg"})
            .out.ends_with(" (173x301 pixels)\n"));
}

TEST_CASE("predict --tta mirror is the mean of a picture and its mirror image") {
  const ScratchFolder scratch;
  Tensor mirrored = trained().digit(5).clone();
  for (std::int64_t y = 0; y < 28; ++y) {
    auto* row = mirrored.data_as<std::uint8_t>() + 28 * y;
    std::reverse(row, row + 28);
  }
  write(scratch / "a.png", cks::testing::png(trained().digit(5)));
  write(scratch / "b.png", cks::testing::png(mirrored));
  const Arguments both{"--json", "--top-k", "10", scratch / "a.png", scratch / "b.png"};
  Arguments with_tta = both;
  with_tta.insert(with_tta.end(), {"--tta", "mirror"});
  const auto by_class = [](const Json& picture) {
    std::array<double, 10> probabilities{};
    for (const Json& entry : picture["top"]) {
      probabilities.at(entry["index"].get<std::size_t>()) = entry["probability"];
    }
    return probabilities;
  };
  const Json plain = pictures_of(predict(scratch, both));
  const Json tta = pictures_of(predict(scratch, with_tta));
  for (std::size_t c = 0; c < 10; ++c) {
    const double mean = (by_class(plain[0])[c] + by_class(plain[1])[c]) / 2.0;
    CHECK(std::abs(by_class(tta[0])[c] - mean) < 1e-6);
    CHECK(std::abs(by_class(tta[1])[c] - mean) < 1e-6);
  }
  CHECK(by_class(plain[0]) != by_class(plain[1]));
}

TEST_CASE("predict reports broken pictures and classifies the others, whatever the batches") {
  const ScratchFolder scratch;
  const Bytes whole = cks::testing::png(trained().digit(0));
  const std::vector<std::pair<std::string, Bytes>> broken{
      {"truncated.png", cks::testing::cut(whole, whole.size() / 2)},
      {"flipped.png", cks::testing::flipped(whole, 8 * (whole.size() / 2))},
      {"empty.png", {}},
      {"zero.png", cks::testing::png(0, 5, cks::testing::PngColour::grey, {})},
      {"gigantic.png", cks::testing::png(20000, 20000, cks::testing::PngColour::grey, {})},
      {"text.jpg", Bytes(100, 'x')}};
  Arguments names{scratch / "missing.png"};
  write(scratch / "good.png", whole);
  for (const auto& [name, bytes] : broken) {
    write(scratch / name, bytes);
    names.push_back(scratch / "good.png");
    names.push_back(scratch / name);
  }
  names.push_back(scratch / "nothing");  // an empty folder
  std::filesystem::create_directory(names.back());
  Json first;
  for (const char* batch_size : {"1", "2", "5", "256"}) {
    const Outcome outcome = predict(scratch, joined({"--json", "--batch-size", batch_size}, names));
    const Json pictures = pictures_of(outcome, 1);
    CHECK(Json::parse(outcome.out)["failed"] == broken.size() + 2);
    REQUIRE(pictures.size() == names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      CAPTURE(names[i]);
      CHECK(pictures[i]["path"] == names[i]);
      if (contains(names[i], "good.png")) {
        CHECK(pictures[i]["top"][0]["index"] == pictures[1]["top"][0]["index"]);
        CHECK_FALSE(pictures[i].contains("error"));
      } else {
        CHECK_FALSE(pictures[i].contains("top"));
        CHECK(contains(pictures[i]["error"], names[i]));
        CHECK(contains(outcome.err, "error: " + pictures[i]["error"].get<std::string>() + "\n"));
      }
    }
    first = first.is_null() ? pictures : first;
    CHECK(pictures[0] == first[0]);
  }
  CHECK(contains(first[2]["error"], "cut short"));
  CHECK(contains(first[8]["error"], "has 5 x 0 pixels"));
  CHECK(contains(first[10]["error"], "has 20000 x 20000 pixels"));
  // A name that is not UTF-8 leaves the JSON whole.
  CHECK(pictures_of(predict(scratch, {"--json", scratch / "\xff.png"}), 1).size() == 1);
  // In words: what could be read is on stdout, the rest on stderr.
  const Outcome text = predict(scratch, {scratch / "truncated.png", scratch / "good.png"});
  CHECK(text.code == 1);
  CHECK(contains(text.err, "truncated.png"));
  CHECK(contains(text.out, "good.png   "));
  CHECK_FALSE(contains(text.out, "truncated.png"));
}

TEST_CASE("predict: a folder stands for the pictures in it, by name") {
  const ScratchFolder scratch;
  const auto digit = [](std::int64_t i) { return cks::testing::png(trained().digit(i)); };
  const std::string folder = scratch / "folder";
  write(folder + "/b.PNG", digit(1));
  write(folder + "/a.png", digit(2));
  write(folder + "/c.webp", Bytes(10, 'x'));  // an image, but none that is read
  write(folder + "/.hidden.png", digit(3));
  write(folder + "/inside/0.png", digit(4));
  write(folder + "/notes.txt", Bytes(10, 'x'));
  write(scratch / "z.png", digit(5));
  const std::string alone = scratch / "z.png";
  const std::string a = folder + "/a.png";
  const std::string b = folder + "/b.PNG";
  const std::string c = folder + "/c.webp";
  const Json pictures =
      pictures_of(predict(scratch, {"--json", "--batch-size", "2", alone, folder, alone}), 1);
  CHECK(pictures ==
        pictures_of(predict(scratch, {"--json", "--batch-size", "2", alone, a, b, c, alone}), 1));
  REQUIRE(pictures.size() == 5);
  CHECK(pictures[1]["path"] == a);
  CHECK(pictures[2]["path"] == b);
  CHECK(contains(pictures[3]["error"], c));
  CHECK(predict(scratch, {folder + "/inside/"}).out ==
        predict(scratch, {folder + "/inside/0.png"}).out);

  // One without a picture of its own is an error that names it; the others are classified.
  std::filesystem::create_directories(scratch / "halves/test");
  const Outcome outcome = predict(scratch, {scratch / "halves", alone});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "'" + scratch / "halves' has no image"));
  CHECK(contains(outcome.err, "; if they are classes: --eval " + scratch / "halves\n"));
  CHECK_FALSE(contains(predict(scratch, {scratch / "halves/test"}).err, "--eval"));
  CHECK(outcome.out == predict(scratch, {alone}).out);
}

TEST_CASE("predict gives the same on every device, within rounding") {
  const ScratchFolder scratch;
  Arguments arguments{"--json", "--tta", "mirror"};
  for (std::int64_t i = 0; i < 10; ++i) {
    const std::string path = scratch / (std::to_string(i) + ".png");
    write(path, cks::testing::png(trained().digit(i)));
    arguments.push_back(path);
  }
  const Json on_cpu = pictures_of(predict(scratch, arguments));
  for (const cks::Device device : cks::testing::test_devices()) {
    CAPTURE(device.to_string());
    Arguments with_device = arguments;
    with_device.insert(with_device.end(), {"--device", device.to_string()});
    const Outcome outcome = predict(scratch, with_device);
    const Json pictures = pictures_of(outcome);
    CHECK(Json::parse(outcome.out)["device"] == device.to_string());
    for (std::size_t i = 0; i < 10; ++i) {
      const Json& top = pictures[i]["top"][0];
      const Json& expected = on_cpu[i]["top"][0];
      CHECK(top["index"] == expected["index"]);
      CHECK(std::abs(top["probability"].get<double>() - expected["probability"].get<double>()) <
            1e-4);
    }
  }
}

TEST_CASE("predict --eval: the accuracy that training reported, per class and in confusion") {
  const ScratchFolder scratch;
  write_folder(scratch / "digits", kTestImages);
  const Outcome outcome = predict(scratch, {"--eval", scratch / "digits", "--json"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const Json json = Json::parse(outcome.out);
  CHECK(json["images"] == kTestImages);
  CHECK(json["accuracy"] == trained().test_accuracy);
  CHECK(trained().test_accuracy > 0.5);
  std::int64_t correct = 0;
  std::int64_t images = 0;
  REQUIRE(json["classes"].size() == 10);
  for (std::size_t truth = 0; truth < 10; ++truth) {
    const Json& entry = json["classes"][truth];
    std::int64_t in_row = 0;
    for (const Json& count : json["confusion"][truth]) {
      in_row += count.get<std::int64_t>();
    }
    CHECK(entry["class"] == std::to_string(truth));
    CHECK(entry["images"] == in_row);
    CHECK(in_row == kTestImages / 10);
    CHECK(entry["correct"] == json["confusion"][truth][truth]);
    CHECK(entry["accuracy"] == entry["correct"].get<double>() / static_cast<double>(in_row));
    correct += entry["correct"].get<std::int64_t>();
    images += in_row;
  }
  CHECK(json["correct"] == correct);
  CHECK(images == kTestImages);

  const Outcome text = predict(scratch, {"--eval", scratch / "digits", "--batch-size", "7"});
  CHECK(text.code == 0);
  CHECK(contains(text.out, std::to_string(correct) + " of 200 images"));
  CHECK(std::count(text.out.begin(), text.out.end(), '\n') == 17);
}

TEST_CASE("predict --eval: top-5 accuracy is how often the class is among the five of --top-k 5") {
  const ScratchFolder scratch;
  // Light on dark taken for dark on light: hardly a digit is recognised.
  write_folder(scratch / "digits", kTestImages);
  Arguments arguments{"--json", "--invert"};
  for (int c = 0; c < 10; ++c) {
    arguments.push_back(scratch / ("digits/" + std::to_string(c)));
  }
  std::int64_t in_top = 0;
  for (const Json& picture : pictures_of(predict(scratch, arguments))) {
    const std::string folder =
        std::filesystem::path(picture["path"].get<std::string>()).parent_path().filename();
    in_top += std::any_of(picture["top"].begin(), picture["top"].end(),
                          [&](const Json& entry) { return entry["class"] == folder; })
                  ? 1
                  : 0;
  }
  const Arguments evaluation{"--eval", scratch / "digits", "--invert"};
  Arguments with_json = evaluation;
  with_json.emplace_back("--json");
  const Json json = Json::parse(predict(scratch, with_json).out);
  CHECK(json["top5_correct"] == in_top);
  CHECK(json["top5_accuracy"] == static_cast<double>(in_top) / kTestImages);
  CHECK(json["correct"] < in_top);
  CHECK(in_top < kTestImages);
  CHECK(contains(predict(scratch, evaluation).out,
                 " %, " + std::to_string(in_top) + " of 200 images\n\nColumns"));
}

TEST_CASE("predict --eval of the last weights gives the top-5 accuracy of the run's summary") {
  const ScratchFolder scratch;
  write_folder(scratch / "digits", kTestImages);
  const std::string run = trained().scratch / "run";
  const Outcome outcome = run_process(CKS_PREDICT, scratch,
                                      {"--weights", run + "/last.safetensors", "--device", "cpu",
                                       "--eval", scratch / "digits", "--json"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const Json summary = Json::parse(cks::read_file(run + "/summary.json"));
  const Json json = Json::parse(outcome.out);
  CHECK(json.at("top5_accuracy") == summary.at("top_k_accuracy").at("5"));
  CHECK(json.at("accuracy") == summary.at("test_accuracy"));
  CHECK(json.at("accuracy") < json.at("top5_accuracy"));
}

TEST_CASE("predict --eval: no top-5 of five classes or fewer") {
  const ScratchFolder scratch;
  for (const std::int64_t classes : {5, 6}) {
    CAPTURE(classes);
    const std::string weights = scratch / "weights.safetensors";
    const auto model = cks::make_model("mlp", {.classes = classes});
    model->initialize(1);
    cks::save_weights(weights, *model,
                      {.model = "mlp",
                       .class_names = cks::numbered_classes(classes),
                       .mean = {0.0F},
                       .std = {1.0F},
                       .height = 28,
                       .width = 28,
                       .channels = 1});
    const std::string folder = scratch / ("classes" + std::to_string(classes));
    for (std::int64_t c = 0; c < classes; ++c) {
      write(folder + "/" + std::to_string(c) + "/0.png", cks::testing::png(trained().digit(c)));
    }
    const auto evaluate = [&](const Arguments& more) {
      const Outcome outcome =
          run_process(CKS_PREDICT, scratch,
                      joined({"--weights", weights, "--device", "cpu", "--eval", folder}, more));
      REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
      return outcome.out;
    };
    CHECK(contains(evaluate({}), "\ntop-5 ") == (classes > 5));
    const Json json = Json::parse(evaluate({"--json"}));
    CHECK(json.contains("top5_accuracy") == (classes > 5));
    CHECK(json.contains("top5_correct") == (classes > 5));
  }
}

TEST_CASE("predict --eval: folders that do not fit, and broken pictures") {
  const ScratchFolder scratch;
  const std::string dir = scratch / "digits";
  write_folder(dir, 20);
  write(dir + "/4/broken.png", Bytes(10, 'x'));
  Outcome outcome = predict(scratch, {"--eval", dir});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "4/broken.png"));
  outcome = predict(scratch, {"--eval", dir, "--skip-broken", "--json"});
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.err, "warning: left out: "));
  CHECK(Json::parse(outcome.out)["images"] == 20);
  CHECK(contains(Json::parse(outcome.out)["skipped"].at(0), "4/broken.png"));

  std::filesystem::rename(dir + "/7", dir + "/seven");
  std::filesystem::remove_all(dir + "/4");
  outcome = predict(scratch, {"--eval", dir});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, trained().weights + ": 4, 7\n"));
  write_folder(dir, 20);
  outcome = predict(scratch, {"--eval", dir});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "'seven', expected only the classes 0, 1, 2"));
  outcome = predict(scratch, {"--eval", scratch / "nothing"});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "nothing' is no folder"));

  write_folder(scratch / "halves/test", 20);
  std::filesystem::create_directories(scratch / "halves/train/0");
  outcome = predict(scratch, {"--eval", scratch / "halves"});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "train and test in place of the classes"));
  CHECK(contains(outcome.err, "name one of them: '" + scratch / "halves/test'\n"));
  CHECK(predict(scratch, {"--eval", scratch / "halves/test"}).code == 0);
}

TEST_CASE("predict: weights of others, and wrong usage") {
  const ScratchFolder scratch;
  const std::string torch = scratch / "torch.safetensors";
  const cks::CheckpointInfo info = cks::read_checkpoint_info(trained().weights);
  cks::save_safetensors(torch, cks::load_safetensors(trained().weights).tensors,
                        {{"format", "pt"}});
  const std::string picture = scratch / "digit.png";
  write(picture, cks::testing::png(trained().digit(8)));
  const auto run = [&](const Arguments& arguments) {
    return run_process(CKS_PREDICT, scratch, arguments);
  };
  Outcome outcome = run({"--weights", torch, picture});
  CHECK(outcome.code == 1);
  for (const char* flag : {"--model", "--classes", "--input", "--mean", "--std"}) {
    CHECK(contains(outcome.err, flag));
  }
  std::array<char, 64> mean{};
  std::array<char, 64> std{};
  std::snprintf(mean.data(), mean.size(), "%.9g", info.mean.at(0));
  std::snprintf(std.data(), std.size(), "%.9g", info.std.at(0));
  outcome = run({"--weights", torch, "--model", "lenet5", "--classes", "10", "--input", "28x28x1",
                 "--mean", mean.data(), "--std", std.data(), "--device", "cpu", picture});
  CHECK_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out == predict(scratch, {picture}).out);
  CHECK(predict(scratch, {"--classes", "10", picture}).code == 1);

  CHECK(run({picture}).code == 2);        // no weights
  CHECK(predict(scratch, {}).code == 2);  // nothing to do
  CHECK(predict(scratch, {"--eval", scratch.path(), picture}).code == 2);
  CHECK(predict(scratch, {"--skip-broken", picture}).code == 2);
  CHECK(predict(scratch, {"--eval", scratch.path(), "--top-k", "3"}).code == 2);
  CHECK(predict(scratch, {"--top-k", "0", picture}).code == 2);
  CHECK(predict(scratch, {"--batch-size", "0", picture}).code == 2);
  CHECK(predict(scratch, {"--tta", "flip", picture}).code == 2);
  CHECK(run({"--weights", torch, "--model", "autoencoder", picture}).code == 2);
  outcome = run({"--weights", scratch / "run/none.safetensors", picture});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "none.safetensors"));
  CHECK(contains(outcome.err, "best.safetensors in the folder of a run"));
  outcome = run({"--weights", picture, picture});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "digit.png: is a PNG picture, not a safetensors file\n"));
  CHECK(contains(outcome.err, "pictures need no flag"));
  outcome = run({"--weights", trained().scratch / "run/last.state.safetensors", picture});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "last.state.safetensors is for resuming a run; the weights are in"));
  CHECK_FALSE(contains(outcome.err, "--model"));
}

TEST_CASE("inspect --filters draws the first convolution, or the filters that are named") {
  const ScratchFolder scratch;
  const auto inspect = [&](const Arguments& arguments) {
    return run_process(CKS_INSPECT, scratch, arguments);
  };
  const std::string picture = scratch / "filters.png";
  Outcome outcome = inspect({trained().weights, "--filters", picture});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(contains(outcome.out, "filters conv1.weight [6,1,5,5] drawn in " + picture));
  CHECK(cks::load_image(picture, {.channels = 1}).shape() == cks::Shape{72, 109, 1});
  outcome = inspect({trained().weights, "--filters", picture, "--filters-of", "conv2.weight"});
  CHECK(outcome.code == 0);
  CHECK(cks::load_image(picture, {.channels = 1}).shape() ==
        cks::Shape{16 * 37 - 2, 6 * 37 - 2, 1});

  const std::string drawing = scratch / "filters.svg";
  const std::string savings = scratch / "savings.svg";
  outcome = inspect({trained().weights, "--filters", drawing, "--savings", savings});
  CHECK(outcome.code == 0);
  CHECK(contains(slurp(drawing), ">Filters conv1.weight</text>"));
  CHECK(contains(slurp(savings), ">What C-K-S skips in lenet5</text>"));
  CHECK(inspect({"--model", "resnet20", "--savings", savings}).code == 0);
  CHECK(contains(slurp(savings), ">layer3.2.conv2</text>"));
  outcome = inspect({"--model", "lenet5", "--savings", picture});
  CHECK(outcome.code == 2);
  CHECK(contains(outcome.err, "--savings " + picture + " must end in .svg"));
  CHECK(inspect({trained().weights, "--filters", scratch / "filters.gif"}).code == 2);

  for (const auto& [key, why] :
       {std::pair{"conv9.weight", "has no key 'conv9.weight'"},
        std::pair{"fc3.weight", "'fc3.weight' is [10,84], expected filters [OC,IC,FH,FW]"}}) {
    outcome = inspect({trained().weights, "--filters", picture, "--filters-of", key});
    CHECK(outcome.code == 1);
    CHECK(contains(outcome.err, why));
  }
  const auto mlp = cks::make_model("mlp");
  cks::save_weights(scratch / "mlp.safetensors", *mlp,
                    {.model = "mlp",
                     .class_names = cks::numbered_classes(10),
                     .mean = {0.0F},
                     .std = {1.0F},
                     .height = 28,
                     .width = 28,
                     .channels = 1});
  outcome = inspect({scratch / "mlp.safetensors", "--filters", scratch / "none.png"});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "mlp has no convolution"));
  CHECK_FALSE(std::filesystem::exists(scratch / "none.png"));

  // A network of somebody's own: its keys are shown, its filters drawn by name.
  cks::save_weights(scratch / "own.safetensors", *mlp, {.model = "own"});
  CHECK(inspect({scratch / "own.safetensors"}).code == 0);
  outcome = inspect({scratch / "own.safetensors", "--filters", scratch / "none.png"});
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "--filters-of KEY"));

  CHECK(inspect({"--model", "lenet5", "--filters", picture}).code == 2);
  CHECK(inspect({trained().weights, "--filters-of", "conv1.weight"}).code == 2);
}

}  // namespace
