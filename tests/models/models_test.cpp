#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/conv/conv_report.h"
#include "cks/core/ops/loss.h"
#include "cks/core/optim/adam.h"
#include "cks/models/alexnet.h"
#include "cks/models/autoencoder.h"
#include "cks/models/googlenet.h"
#include "cks/models/lenet.h"
#include "cks/models/mlp.h"
#include "cks/models/registry.h"
#include "cks/models/resnet.h"
#include "cks/models/resnet_cifar.h"
#include "cks/models/vgg.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;
using testing::random_tensor;

Tensor images_for(const ModelInfo& info, std::int64_t batch) {
  return random_tensor({batch, info.image_size, info.image_size, info.in_channels}, 1,
                       DType::float32);
}

TEST_CASE("models: parameters and shape of the output") {
  const std::vector<std::pair<std::string, std::int64_t>> parameters = {
      {"lenet5", 61706},
      {"mlp", 101770},
      {"resnet20", 269722},
      {"resnet32", 464154},
      {"resnet56", 853018},
      {"resnet18", 12619722},
      {"resnet34", 22727882},
      {"resnet18_3x3stem", 12612042},
      {"resnet34_3x3stem", 22720202},
      {"alexnet", 4382634},
      {"vgg16", 14877514},
      {"vgg19", 20185930},
      {"googlenet", 6231098},
      {"autoencoder", 19301},
  };
  REQUIRE(model_list().size() == parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, count] = parameters[i];
    CAPTURE(name);
    const ModelInfo& info = model_list()[i];
    CHECK(info.name == name);
    const auto model = make_model(name);
    CHECK(model->num_parameters() == count);
    const NoGradGuard no_grad;
    const Tensor images = images_for(info, 2);
    const Tensor output = (*model)(images);
    CHECK(output.shape() == (info.task == ModelTask::reconstruct ? images.shape() : Shape{2, 10}));
  }
}

TEST_CASE("models: options reach the layers") {
  const auto lenet = make_model("lenet5", {.classes = 100, .in_channels = 3, .image_size = 32});
  CHECK((*lenet)(Tensor::zeros({1, 32, 32, 3})).shape() == Shape{1, 100});
  const auto mlp = make_model("mlp", {.classes = 3, .in_channels = 2, .image_size = 5});
  CHECK((*mlp)(Tensor::zeros({1, 5, 5, 2})).shape() == Shape{1, 3});
  const auto resnet = make_model("resnet20", {.classes = 7, .in_channels = 1});
  CHECK((*resnet)(Tensor::zeros({2, 28, 28, 1})).shape() == Shape{2, 7});  // odd maps below: 7x7
  for (const char* name : {"resnet18", "alexnet", "vgg16", "googlenet"}) {
    for (const std::int64_t size : {32, 50, 64}) {
      CAPTURE(name);
      CAPTURE(size);
      const auto model = make_model(name, {.classes = 4, .in_channels = 1, .image_size = size});
      CHECK((*model)(Tensor::zeros({2, size, size, 1})).shape() == Shape{2, 4});
    }
  }
  const auto alexnet = make_model("alexnet", {.image_size = 2});
  CHECK((*alexnet)(Tensor::zeros({2, 2, 2, 3})).shape() == Shape{2, 10});
  const auto googlenet = make_model("googlenet", {.image_size = 16});
  CHECK((*googlenet)(Tensor::zeros({2, 16, 16, 3})).shape() == Shape{2, 10});
  Autoencoder autoencoder({.in_channels = 3, .image_size = 32, .code_channels = 6});
  const Tensor code = autoencoder.encoder(Tensor::zeros({2, 32, 32, 3}));
  CHECK(code.shape() == Shape{2, 8, 8, 6});
  CHECK(autoencoder.decoder(code).shape() == Shape{2, 32, 32, 3});
}

TEST_CASE("models: classifier_names leaves out what gives no logits") {
  const std::vector<std::string> names = classifier_names();
  CHECK(names.size() == model_list().size() - 1);
  CHECK(std::find(names.begin(), names.end(), "resnet18") != names.end());
  CHECK(std::find(names.begin(), names.end(), "autoencoder") == names.end());
}

TEST_CASE("models: bad names and options") {
  CHECK(message_of<Error>([] { make_model("lenet"); }) ==
        "model \"lenet\" does not exist; there are lenet5, mlp, resnet20, resnet32, resnet56, "
        "resnet18, resnet34, resnet18_3x3stem, resnet34_3x3stem, alexnet, vgg16, vgg19, googlenet, "
        "autoencoder");
  CHECK(message_of<ShapeError>([] { LeNet5({.image_size = 11}); }) ==
        "LeNet5: image_size must be at least 12, got 11");
  CHECK(message_of<ShapeError>([] { ResNetCifar({.depth = 21}); }).find("depth must be 6n+2") !=
        std::string::npos);
  CHECK_THROWS_AS(BasicBlock({.in_channels = 4, .out_channels = 2}), ShapeError);
  CHECK_THROWS_AS(make_model("mlp", {.classes = 0}), ShapeError);
  CHECK(message_of<ShapeError>([] { ResNet({.depth = 50}); }) ==
        "ResNet: depth must be 18 or 34, got 50");
  CHECK(message_of<ShapeError>([] { Vgg({.depth = 11}); }) ==
        "Vgg: depth must be 16 or 19, got 11");
  CHECK(message_of<ShapeError>([] { make_model("vgg16", {.image_size = 28}); }) ==
        "Vgg: image_size must be at least 32, got 28");
  CHECK(message_of<ShapeError>([] { make_model("alexnet", {.image_size = 1}); }) ==
        "AlexNet: image_size must be at least 2, got 1");
  CHECK(message_of<ShapeError>([] { make_model("googlenet", {.image_size = 15}); }) ==
        "GoogLeNet: image_size must be at least 16, got 15");
  CHECK(message_of<ShapeError>([] { make_model("autoencoder", {.image_size = 30}); }) ==
        "Autoencoder: image_size must be a multiple of 4, got 30");
  for (const std::string& model : classifier_names()) {  // no number overflows before it is refused
    for (const std::int64_t absurd : {INT64_MAX, std::int64_t{1} << 62, INT64_MIN}) {
      CHECK_THROWS_AS(make_model(model, {.in_channels = absurd}), Error);
    }
  }
  CHECK_THROWS_AS(make_model("lenet5", {.classes = INT64_MAX}), Error);
  for (const char* model : {"lenet5", "vgg16", "alexnet", "googlenet", "mlp"}) {
    for (const std::int64_t absurd : {INT64_MAX, std::int64_t{1} << 62, INT64_MIN}) {
      const std::string said =
          message_of<ShapeError>([&] { make_model(model, {.image_size = absurd}); });
      CHECK_MESSAGE(said.find("image_size must be at") != std::string::npos, said);
    }
  }
  for (const std::string& name : classifier_names()) {
    CAPTURE(name);
    CHECK_THROWS_AS(make_model(name, {.classes = 0}), ShapeError);
    CHECK_THROWS_AS(make_model(name, {.in_channels = -1}), ShapeError);
  }
}

std::vector<std::string> keys_of(const Module& model) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : model.state_dict()) {
    keys.push_back(key);
  }
  return keys;
}

// scripts/check_torch_exchange.py compares all of them with PyTorch's.
TEST_CASE("models: names in state_dict are PyTorch's") {
  CHECK(keys_of(LeNet5()) == std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight",
                                                      "conv2.bias", "fc1.weight", "fc1.bias",
                                                      "fc2.weight", "fc2.bias", "fc3.weight",
                                                      "fc3.bias"});
  const std::vector<std::string> cifar = keys_of(ResNetCifar());
  CHECK(cifar.size() == 19 + 19 * 5 + 2);
  CHECK(cifar[0] == "conv1.weight");
  CHECK(cifar[1] == "bn1.weight");
  CHECK(cifar[6] == "layer1.0.conv1.weight");
  CHECK(cifar.back() == "fc.bias");

  const auto has = [](const Module& model, const char* key) {
    const std::vector<std::string> keys = keys_of(model);
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  const ResNet resnet;
  CHECK(keys_of(resnet).size() == 20 * 6 + 4);
  CHECK_FALSE(has(resnet, "layer1.0.downsample.0.weight"));
  CHECK(has(resnet, "layer2.0.downsample.1.running_var"));
  CHECK_FALSE(has(resnet, "layer2.1.downsample.0.weight"));
  CHECK(has(resnet, "classifier.4.bias"));
  for (const char* key : {"features.0.bias", "features.2.weight", "features.4.bias",
                          "features.6.weight", "features.8.bias", "features.10.bias",
                          "features.12.bias", "features.13.running_mean", "classifier.6.bias"}) {
    CAPTURE(key);
    CHECK(has(AlexNet(), key));
  }
  for (const char* key :
       {"features.2.weight", "features.4.weight", "features.6.weight", "features.32.weight"}) {
    CAPTURE(key);
    CHECK(has(Vgg(), key));
  }
  CHECK_FALSE(has(Vgg(), "features.0.bias"));
  CHECK(has(GoogLeNet(), "inception4c.branch3.2.bias"));
  CHECK(has(Autoencoder(), "decoder.2.weight"));
}

/// Multiply-adds of the convolutions of one training step.
struct StepCount {
  double executed[3] = {}, exact[3] = {}, plain[3] = {};

  double saved(kernels::Conv2dPass pass) const {
    const auto i = static_cast<std::size_t>(pass);
    return 100.0 * (1.0 - exact[i] / plain[i]);
  }
  double saved() const {
    return 100.0 * (1.0 - (exact[0] + exact[1] + exact[2]) / (plain[0] + plain[1] + plain[2]));
  }
};

StepCount count_step(const std::string& name) {
  const auto model = make_model(name);
  const ConvRecorder recorder;
  const Tensor output = (*model)(images_for(model_info(name), 2));
  output.backward(Tensor::ones(output.shape()));
  StepCount count;
  const std::string first = recorder.records().front().module_path;
  for (const ConvRecord& record : recorder.records()) {
    const auto i = static_cast<std::size_t>(record.pass);
    count.executed[i] += static_cast<double>(record.executed);
    count.exact[i] += static_cast<double>(record.exact);
    count.plain[i] += static_cast<double>(record.plain);
    // The first convolution computes no input gradient.
    CHECK_FALSE((record.pass == kernels::Conv2dPass::backward_data && record.module_path == first));
  }
  return count;
}

TEST_CASE("models: skipping saves the shares that their headers state") {
  using kernels::Conv2dPass;
  struct Case {
    const char* name;
    double forward, data, filter, all;  // percent
  };
  for (const Case& c :
       {Case{"lenet5", 2.8, 49.0, 2.8, 21.1}, Case{"resnet20", 8.9, 22.6, 8.9, 13.9},
        Case{"resnet32", 9.1, 17.6, 9.1, 12.1}, Case{"resnet56", 9.2, 14.1, 9.2, 10.9},
        Case{"resnet18", 24.4, 51.7, 24.4, 36.3}, Case{"resnet34", 25.8, 42.2, 25.8, 32.2},
        Case{"resnet18_3x3stem", 13.0, 44.4, 13.0, 26.7},
        Case{"resnet34_3x3stem", 13.7, 32.6, 13.7, 21.1}, Case{"alexnet", 28.7, 29.3, 28.7, 28.9},
        Case{"vgg16", 21.0, 21.1, 21.0, 21.1}, Case{"vgg19", 22.3, 22.4, 22.3, 22.3},
        Case{"googlenet", 16.7, 17.0, 16.7, 16.8}, Case{"autoencoder", 13.6, 76.4, 13.6, 53.4}}) {
    CAPTURE(c.name);
    const StepCount count = count_step(c.name);
    CHECK(std::abs(count.saved(Conv2dPass::forward) - c.forward) < 0.05);
    CHECK(std::abs(count.saved(Conv2dPass::backward_data) - c.data) < 0.05);
    CHECK(std::abs(count.saved(Conv2dPass::backward_filter) - c.filter) < 0.05);
    CHECK(std::abs(count.saved() - c.all) < 0.05);
    for (std::size_t pass = 0; pass < 3; ++pass) {
      CHECK(count.executed[pass] == count.exact[pass]);
    }
  }
}

// VGG and GoogLeNet, whose signal fades at first, would need too many steps: see tests/golden/.
TEST_CASE("models: one batch is learnt by heart") {
  struct Case {
    const char* name;
    int steps;
  };
  for (const auto& [name, steps] : {Case{"lenet5", 60}, Case{"mlp", 60}, Case{"resnet20", 60},
                                    Case{"resnet18", 20}, Case{"alexnet", 20}}) {
    CAPTURE(name);
    const auto model = make_model(name);
    model->initialize(1);
    const Tensor images = images_for(model_info(name), 8);
    const Tensor labels = Tensor::from_vector<std::int64_t>({3, 1, 4, 1, 5, 9, 2, 6}, {8});
    Adam optimizer(model->named_parameters(), {.learning_rate = 1e-3});
    double loss = 0.0;
    for (int step = 0; step < steps; ++step) {
      optimizer.zero_grad();
      const Tensor value = cross_entropy((*model)(images), labels);
      value.backward();
      optimizer.step();
      loss = value.item();
    }
    CHECK(loss < 0.01);
  }
}

TEST_CASE("models: the autoencoder learns to draw") {
  Autoencoder model;
  model.initialize(1);
  // Smooth images, since noise does not fit into a code of a quarter of its size.
  Tensor images = Tensor::empty({8, 28, 28, 1});
  for (std::int64_t i = 0; i < images.numel(); ++i) {
    const auto row = static_cast<double>(i / 28 % 28), column = static_cast<double>(i % 28);
    const auto which = static_cast<double>(i / (28 * 28));
    images.data_as<float>()[i] =
        static_cast<float>(std::sin(0.1 * (which + 1.0) * row) * std::cos(0.3 * column));
  }
  Adam optimizer(model.named_parameters(), {.learning_rate = 3e-3});
  std::vector<double> losses;
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    const Tensor value = mse_loss(model(images), images);
    value.backward();
    optimizer.step();
    losses.push_back(value.item());
  }
  CHECK(losses.back() < 0.2 * losses.front());
}

TEST_CASE("models: clone copies a whole network") {
  LeNet5 model;
  model.initialize(9);
  const auto copy = model.clone();
  const Tensor x = random_tensor({2, 28, 28, 1}, 1, DType::float32);
  const NoGradGuard no_grad;
  CHECK(testing::compare((*copy)(x), model(x)).ok);
}

}  // namespace
}  // namespace cks
