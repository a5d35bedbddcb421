#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/autograd.h"
#include "cks/core/conv_report.h"
#include "cks/core/ops/loss.h"
#include "cks/core/optim/adam.h"
#include "cks/models/lenet.h"
#include "cks/models/mlp.h"
#include "cks/models/registry.h"
#include "cks/models/resnet_cifar.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::message_of;
using testing::random_tensor;

Tensor images_for(const ModelInfo& info, std::int64_t batch) {
  return random_tensor({batch, info.image_size, info.image_size, info.in_channels}, 1,
                       DType::float32);
}

TEST_CASE("models: parameters and shape of the logits") {
  const std::vector<std::pair<std::string, std::int64_t>> parameters = {
      {"lenet5", 61706},    {"mlp", 101770},      {"resnet20", 269722},
      {"resnet32", 464154}, {"resnet56", 853018},
  };
  REQUIRE(model_list().size() == parameters.size());
  for (const auto& [name, count] : parameters) {
    CAPTURE(name);
    const auto model = make_model(name);
    CHECK(model->num_parameters() == count);
    const NoGradGuard no_grad;
    CHECK((*model)(images_for(model_info(name), 2)).shape() == Shape{2, 10});
  }
}

TEST_CASE("models: options reach the layers") {
  const auto lenet = make_model("lenet5", {.classes = 100, .in_channels = 3, .image_size = 32});
  CHECK((*lenet)(Tensor::zeros({1, 32, 32, 3})).shape() == Shape{1, 100});
  const auto mlp = make_model("mlp", {.classes = 3, .in_channels = 2, .image_size = 5});
  CHECK((*mlp)(Tensor::zeros({1, 5, 5, 2})).shape() == Shape{1, 3});
  const auto resnet = make_model("resnet20", {.classes = 7, .in_channels = 1});
  CHECK((*resnet)(Tensor::zeros({2, 28, 28, 1})).shape() == Shape{2, 7});  // odd maps below: 7x7
}

TEST_CASE("models: bad names and options") {
  CHECK(message_of<Error>([] { make_model("lenet"); }) ==
        "model \"lenet\" does not exist; there are lenet5, mlp, resnet20, resnet32, resnet56");
  CHECK(message_of<ShapeError>([] { LeNet5({.image_size = 11}); }) ==
        "LeNet5: image_size must be at least 12, got 11");
  CHECK(message_of<ShapeError>([] { ResNetCifar({.depth = 21}); }).find("depth must be 6n+2") !=
        std::string::npos);
  CHECK_THROWS_AS(BasicBlock({.in_channels = 4, .out_channels = 2}), ShapeError);
  CHECK_THROWS_AS(make_model("mlp", {.classes = 0}), ShapeError);
}

TEST_CASE("models: names in state_dict are PyTorch's") {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : LeNet5().state_dict()) {
    keys.push_back(key);
  }
  CHECK(keys == std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                         "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
                                         "fc3.weight", "fc3.bias"});
  keys.clear();
  for (const auto& [key, tensor] : ResNetCifar().state_dict()) {
    keys.push_back(key);
  }
  CHECK(keys.size() == 19 + 19 * 5 + 2);
  CHECK(keys[0] == "conv1.weight");
  CHECK(keys[1] == "bn1.weight");
  CHECK(keys[6] == "layer1.0.conv1.weight");
  CHECK(keys.back() == "fc.bias");
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
  const Tensor logits = (*model)(images_for(model_info(name), 2));
  logits.backward(Tensor::ones(logits.shape()));
  StepCount count;
  for (const ConvRecord& record : recorder.records()) {
    const auto i = static_cast<std::size_t>(record.pass);
    count.executed[i] += static_cast<double>(record.executed);
    count.exact[i] += static_cast<double>(record.exact);
    count.plain[i] += static_cast<double>(record.plain);
    // The first convolution computes no input gradient.
    CHECK_FALSE(
        (record.pass == kernels::Conv2dPass::backward_data && record.module_path == "conv1"));
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
        Case{"resnet32", 9.1, 17.6, 9.1, 12.1}, Case{"resnet56", 9.2, 14.1, 9.2, 10.9}}) {
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

TEST_CASE("models: each learns one batch by heart") {
  for (const char* name : {"lenet5", "mlp", "resnet20"}) {
    CAPTURE(name);
    const auto model = make_model(name);
    model->initialize(1);
    const Tensor images = images_for(model_info(name), 8);
    const Tensor labels = Tensor::from_vector<std::int64_t>({3, 1, 4, 1, 5, 9, 2, 6}, {8});
    Adam optimizer(model->named_parameters(), {.learning_rate = 3e-3});
    double loss = 0.0;
    for (int step = 0; step < 60; ++step) {
      optimizer.zero_grad();
      const Tensor value = cross_entropy((*model)(images), labels);
      value.backward();
      optimizer.step();
      loss = value.item();
    }
    CHECK(loss < 0.01);
  }
}

TEST_CASE("models: clone_module copies a whole network") {
  LeNet5 model;
  model.initialize(9);
  const auto copy = clone_module(model);
  const Tensor x = random_tensor({2, 28, 28, 1}, 1, DType::float32);
  const NoGradGuard no_grad;
  CHECK(testing::compare((*copy)(x), model(x)).ok);
}

}  // namespace
}  // namespace cks
