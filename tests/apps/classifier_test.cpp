#include "apps/classify/classifier.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "cks/core/autograd/autograd.h"
#include "cks/core/error.h"
#include "cks/core/io/safetensors.h"
#include "cks/core/ops.h"
#include "cks/models/registry.h"
#include "tests/support/devices.h"
#include "tests/support/fill.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"

namespace cks::apps {
namespace {

using testing::compare;
using testing::message_of;
using testing::ScratchFolder;
using testing::test_devices;

constexpr std::int64_t kSide = 8;

CheckpointInfo colour_info() {
  return {.model = "mlp",
          .dataset = "noise",
          .class_names = {"cat", "dog", "frog"},
          .mean = {0.5F, 0.4F, 0.3F},
          .std = {0.25F, 0.2F, 0.3F},
          .height = kSide,
          .width = kSide,
          .channels = 3};
}

std::unique_ptr<Module> colour_model() {
  auto model = make_model("mlp", {.classes = 3, .in_channels = 3, .image_size = kSide});
  model->initialize(5);
  return model;
}

/// The flags that say what colour_info() says.
WeightsFlags colour_flags() {
  return {.model = "mlp",
          .classes = "cat,dog,frog",
          .input = "8x8x3",
          .mean = "0.5,0.4,0.3",
          .std = "0.25,0.2,0.3"};
}

Tensor noise(std::int64_t count) {
  Tensor images = Tensor::empty({count, kSide, kSide, 3}, DType::uint8);
  for (std::int64_t i = 0; i < images.numel(); ++i) {
    images.data_as<std::uint8_t>()[i] = static_cast<std::uint8_t>(
        testing::random_integer(9, static_cast<std::uint64_t>(i), 0, 255));
  }
  return images;
}

/// What the model makes of images that were changed pixel by pixel, from the definitions.
template <class Change>
Tensor expected(const Tensor& images, Change&& change) {
  const CheckpointInfo info = colour_info();
  std::vector<float> values(static_cast<std::size_t>(images.numel()));
  const auto* bytes = images.data_as<std::uint8_t>();
  for (std::int64_t row = 0; row < images.size(0) * kSide; ++row) {
    for (std::int64_t x = 0; x < kSide; ++x) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        values[static_cast<std::size_t>((row * kSide + x) * 3 + c)] =
            (change(bytes, row, x, c) / 255.0F - info.mean[channel]) / info.std[channel];
      }
    }
  }
  const NoGradGuard no_grad;
  return softmax((*colour_model())(Tensor::from_vector(values, images.shape())));
}

float straight(const std::uint8_t* bytes, std::int64_t row, std::int64_t x, std::int64_t c) {
  return bytes[(row * kSide + x) * 3 + c];
}
float mirror(const std::uint8_t* bytes, std::int64_t row, std::int64_t x, std::int64_t c) {
  return straight(bytes, row, kSide - 1 - x, c);
}
float invert(const std::uint8_t* bytes, std::int64_t row, std::int64_t x, std::int64_t c) {
  return 255.0F - straight(bytes, row, x, c);
}

TEST_CASE("class_probabilities: the model's, on every device, in any batches") {
  const ScratchFolder folder;
  const std::string path = folder / "weights.safetensors";
  save_weights(path, *colour_model(), colour_info());
  const Tensor images = noise(11);
  const Tensor by_definition = expected(images, straight);
  const Tensor mirrored = (by_definition + expected(images, mirror)) * 0.5;
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const Classifier classifier = load_classifier(path, {}, device);
    CHECK(classifier.info.class_names == colour_info().class_names);
    for (const std::int64_t batch_size : {1, 4, 11, 256}) {
      CAPTURE(batch_size);
      const testing::Tolerance near{.absolute = 1e-5};
      const auto check = [&](ClassifyOptions options, const Tensor& reference) {
        options.batch_size = batch_size;
        const testing::Comparison result =
            compare(class_probabilities(classifier, images, options), reference, near);
        CHECK_MESSAGE(result.ok, result.message);
      };
      check({}, by_definition);
      check({.mirror = true}, mirrored);
      check({.invert = true}, expected(images, invert));
    }
  }
}

TEST_CASE("class_probabilities: bad input") {
  const ScratchFolder folder;
  const std::string path = folder / "weights.safetensors";
  const auto model = colour_model();
  save_weights(path, *model, colour_info());
  const Classifier classifier = load_classifier(path, {}, Device::cpu());
  CHECK(message_of<ShapeError>([&] {
          class_probabilities(classifier, Tensor::zeros({2, 8, 7, 3}, DType::uint8));
        }) == "class_probabilities: images are [2,8,7,3], expected [N,8,8,3]");
  CHECK_THROWS_AS(class_probabilities(classifier, noise(1).slice(0, 0)), ShapeError);
  CHECK_THROWS_AS(class_probabilities(classifier, Tensor::zeros({2, 8, 8, 3})), DtypeError);
  CHECK_THROWS_AS(class_probabilities(classifier, noise(1), {.batch_size = 0}), Error);

  NamedTensors state = model->state_dict();
  state.back().second.fill_(std::numeric_limits<double>::quiet_NaN());
  model->load_state_dict(state);
  save_weights(path, *model, colour_info());
  const Classifier diverged = load_classifier(path, {}, Device::cpu());
  CHECK(message_of<Error>([&] { class_probabilities(diverged, noise(3)); }) ==
        path +
            ": the model's output is not finite; its weights are damaged or its training diverged");
}

TEST_CASE("load_classifier: weights of others need the flags, and then give the same") {
  const ScratchFolder folder;
  const std::string path = folder / "torch.safetensors";
  const std::string own = folder / "own.safetensors";
  save_safetensors(path, colour_model()->state_dict(), {{"format", "pt"}});
  save_weights(own, *colour_model(), colour_info());
  const std::string message = message_of<Error>([&] { load_classifier(path, {}, Device::cpu()); });
  for (const char* part : {path.c_str(), "--model", "--classes", "--input", "--mean", "--std"}) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
  // Perhaps it is a network that no name fits.
  CHECK(message.find(path + " names no model; predict knows lenet5, mlp, ") == 0);
  CHECK(message.find("are read by a program of your own") != std::string::npos);
  CHECK(message.find("resuming") == std::string::npos);
  const Classifier classifier = load_classifier(path, colour_flags(), Device::cpu());
  CHECK(classifier.info.class_names == colour_info().class_names);
  CHECK(class_probabilities(classifier, noise(5)).to_vector<float>() ==
        class_probabilities(load_classifier(own, {}, Device::cpu()), noise(5)).to_vector<float>());
  // One that is not given is the only one asked for.
  WeightsFlags flags = colour_flags();
  flags.mean.clear();
  const std::string one = message_of<Error>([&] { load_classifier(path, flags, Device::cpu()); });
  CHECK(one.find("give\n  the mean of each channel in units of x / 255: --mean M,...") !=
        std::string::npos);
  CHECK(one.find("lenet5") == std::string::npos);
  CHECK(one.find("--std") == std::string::npos);
  // What the file says itself is not said again, nor otherwise.
  CHECK(
      message_of<Error>([&] { load_classifier(own, {.std = "1,1,1"}, Device::cpu()); }) ==
      "--std: " + own +
          " itself says the standard deviation of each channel in these units; leave the flag out");
}

TEST_CASE("load_classifier: weights of DataParallel need their prefix, which the error names") {
  const ScratchFolder folder;
  const std::string path = folder / "torch.safetensors";
  NamedTensors state = colour_model()->state_dict();
  for (auto& [name, tensor] : state) {
    name = "module." + name;
  }
  save_safetensors(path, state);
  WeightsFlags flags = colour_flags();
  const std::string message =
      message_of<StateDictError>([&] { load_classifier(path, flags, Device::cpu()); });
  CHECK(message.find("behind the prefix \"module.\"\n  (--prefix") != std::string::npos);
  flags.prefix = "module.";
  CHECK(load_classifier(path, flags, Device::cpu()).info.model == flags.model);
}

TEST_CASE("load_classifier: flags that make no sense") {
  const ScratchFolder folder;
  const std::string path = folder / "torch.safetensors";
  save_safetensors(path, colour_model()->state_dict());
  const auto message = [&](auto change) {
    WeightsFlags flags = colour_flags();
    change(flags);
    return message_of<Error>([&] { load_classifier(path, flags, Device::cpu()); });
  };
  CHECK(message([](WeightsFlags& f) { f.mean = "0.5,x,0.3"; }) ==
        "--mean is '0.5,x,0.3', expected a number for each channel, such as 0.49,0.48,0.45");
  CHECK(message([](WeightsFlags& f) { f.mean = "0.5"; }) ==
        path +
            ": 1 means and 3 stds for images of 8x8x3, expected a finite mean and a positive "
            "finite std for each channel");
  CHECK(message([](WeightsFlags& f) { f.std = "1,0,1"; }).find("positive") != std::string::npos);
  CHECK(message([](WeightsFlags& f) { f.std = "1,nan,1"; }).find("positive") != std::string::npos);
  CHECK(message([](WeightsFlags& f) { f.input = "8x8"; }).find("--input is '8x8'") == 0);
  CHECK(message([](WeightsFlags& f) { f.input = "8x8x2"; }) ==
        path + ": its images are 8x8x2, but pictures have 1 or 3 channels");
  CHECK(message([](WeightsFlags& f) { f.classes = "cat,,frog"; }) ==
        "--classes is 'cat,,frog': name 2 is empty");
  CHECK(message([](WeightsFlags& f) { f.classes = "cat,dog,cat"; }) ==
        "--classes is 'cat,dog,cat': name 3, cat, stands there twice");
  CHECK(message([](WeightsFlags& f) { f.classes = "0"; }).find("--classes is 0, expected") == 0);
  CHECK(message([](WeightsFlags& f) { f.model = "nonsense"; }).find("lenet5") != std::string::npos);
  // Classes that do not fit the weights: the key, and both shapes.
  const std::string four = message([](WeightsFlags& f) { f.classes = "4"; });
  CHECK(four.find(path) == 0);
  CHECK(four.find("fc2.weight (got [3,128] float32, expected [4,128] float32)") !=
        std::string::npos);
  WeightsFlags numbered = colour_flags();
  numbered.classes = "3";
  CHECK(load_classifier(path, numbered, Device::cpu()).info.class_names ==
        std::vector<std::string>{"0", "1", "2"});
}

TEST_CASE("load_classifier: metadata that makes no sense, and models that do not classify") {
  const ScratchFolder folder;
  const std::string path = folder / "weights.safetensors";
  const auto message = [&](auto change) {
    CheckpointInfo info = colour_info();
    change(info);
    save_weights(path, *colour_model(), info);
    return message_of<Error>([&] { load_classifier(path, {}, Device::cpu()); });
  };
  CHECK(message([](CheckpointInfo& i) { i.width = 9; }).find("are 9x8x3, expected square") !=
        std::string::npos);
  CHECK(message([](CheckpointInfo& i) { i.height = i.width = 1 << 20; }).find("expected square") !=
        std::string::npos);
  CHECK(message([](CheckpointInfo& i) { i.std.pop_back(); }).find("3 means and 2 stds") !=
        std::string::npos);
  CHECK(message([](CheckpointInfo& i) { i.class_names.pop_back(); }).find("fc2.weight") !=
        std::string::npos);
  const std::string mine = message([](CheckpointInfo& i) { i.model = "mine"; });
  CHECK(mine.find(path + " holds the model 'mine'; predict knows lenet5, mlp, ") == 0);
  CHECK(mine.find("autoencoder") == std::string::npos);
  CHECK(mine.find("are read by a program of your own") != std::string::npos);
  CHECK(message([](CheckpointInfo& i) { i.model = "autoencoder"; }) ==
        path + ": model autoencoder does not classify, it draws its input again");
  CHECK_THROWS_AS(load_classifier(folder / "none", {}, Device::cpu()), IoError);
}

}  // namespace
}  // namespace cks::apps
