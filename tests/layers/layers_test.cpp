#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/ops.h"
#include "cks/layers/activation.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/concat.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/flatten.h"
#include "cks/layers/linear.h"
#include "cks/layers/pool2d.h"
#include "cks/layers/sequential.h"
#include "tests/support/tensors.h"

// One table of all layers, and what holds for each of them.

namespace cks {
namespace {

using testing::compare;
using testing::message_of;
using testing::random_tensor;

struct LayerCase {
  std::string type;
  std::string description;
  Shape input;
  Shape output;
  std::int64_t parameters;
  std::function<std::unique_ptr<Module>()> make;
};

template <class M>
std::function<std::unique_ptr<Module>()> maker(const typename M::Options& options = {}) {
  return [options] { return std::make_unique<M>(nullptr, std::string(), options); };
}

std::unique_ptr<Module> make_sequential() {
  auto chain = std::make_unique<Sequential>();
  chain->add<Conv2d>({.in_channels = 4, .out_channels = 4, .kernel_size = 3, .padding = 1});
  chain->add(cks::tanh);
  return chain;
}

std::unique_ptr<Module> make_concat() {
  auto concat = std::make_unique<Concat>();
  concat->add_branch().add<Conv2d>({.in_channels = 4, .out_channels = 3, .kernel_size = 1});
  concat->add_branch("pool").add<AvgPool2d>({.kernel_size = 3, .stride = 1, .padding = 1});
  concat->add_branch("same");
  return concat;
}

const std::vector<LayerCase>& layer_cases() {
  const Shape image{2, 5, 6, 4};
  static const std::vector<LayerCase> cases = {
      {"Conv2d",
       "3x2, 4 -> 6, stride 2x1, padding 1,0,0,2, groups 2",
       image,
       {2, 2, 7, 6},
       6 * 3 * 2 * 2 + 6,
       maker<Conv2d>({.in_channels = 4,
                      .out_channels = 6,
                      .kernel_size = {3, 2},
                      .stride = {2, 1},
                      .padding = {1, 0, 0, 2},
                      .groups = 2})},
      {"Conv2d",
       "3x3, 4 -> 1, padding 2, dilation 2x2, no bias, leaky ReLU 0.1",
       image,
       {2, 5, 6, 1},
       36,
       maker<Conv2d>({.in_channels = 4,
                      .out_channels = 1,
                      .kernel_size = 3,
                      .padding = 2,
                      .dilation = 2,
                      .bias = false,
                      .negative_slope = 0.1})},
      {"ConvTranspose2d",
       "3x3, 4 -> 2, stride 2x2, padding 1, output padding 1x1, ReLU",
       image,
       {2, 10, 12, 2},
       4 * 9 * 2 + 2,
       maker<ConvTranspose2d>({.in_channels = 4,
                               .out_channels = 2,
                               .kernel_size = 3,
                               .stride = 2,
                               .padding = 1,
                               .output_padding = 1,
                               .negative_slope = 0.0})},
      {"Linear",
       "7 -> 3",
       {5, 7},
       {5, 3},
       24,
       maker<Linear>({.in_features = 7, .out_features = 3})},
      {"Linear",
       "7 -> 3, no bias",
       {5, 7},
       {5, 3},
       21,
       maker<Linear>({.in_features = 7, .out_features = 3, .bias = false})},
      {"BatchNorm2d", "4 channels", image, image, 8, maker<BatchNorm2d>({.num_features = 4})},
      {"BatchNorm2d", "4 channels, eps 0.01, momentum 0.2, not affine", image, image, 0,
       maker<BatchNorm2d>({.num_features = 4, .eps = 0.01, .momentum = 0.2, .affine = false})},
      {"MaxPool2d", "2x2", image, {2, 2, 3, 4}, 0, maker<MaxPool2d>()},
      {"MaxPool2d",
       "3x2, stride 1x2, padding 1,0,0,1, dilation 1x2",
       image,
       {2, 4, 3, 4},
       0,
       maker<MaxPool2d>(
           {.kernel_size = {3, 2}, .stride = {1, 2}, .padding = {1, 0, 0, 1}, .dilation = {1, 2}})},
      {"AvgPool2d",
       "3x3, stride 2x2, padding 1",
       image,
       {2, 3, 3, 4},
       0,
       maker<AvgPool2d>({.kernel_size = 3, .stride = 2, .padding = 1})},
      {"GlobalAvgPool2d", "", image, {2, 1, 1, 4}, 0, maker<GlobalAvgPool2d>()},
      {"ReLU", "", image, image, 0, maker<ReLU>()},
      {"LeakyReLU", "slope 0.01", image, image, 0, maker<LeakyReLU>()},
      {"Sigmoid", "", image, image, 0, maker<Sigmoid>()},
      {"Tanh", "", image, image, 0, maker<Tanh>()},
      {"GELU", "", image, image, 0, maker<GELU>()},
      {"Flatten", "", image, {2, 120}, 0, maker<Flatten>()},
      {"Dropout", "probability 0.25", image, image, 0, maker<Dropout>({.p = 0.25})},
      {"Sequential", "", image, image, 4 * 9 * 4 + 4, make_sequential},
      {"Concat", "", image, {2, 5, 6, 11}, 15, make_concat},
  };
  return cases;
}

TEST_CASE("every layer: shape, parameters, type and description") {
  for (const LayerCase& c : layer_cases()) {
    CAPTURE(c.type);
    const auto layer = c.make();
    CHECK(layer->type_name() == c.type);
    CHECK(layer->description() == c.description);
    CHECK(layer->num_parameters() == c.parameters);
    CHECK((*layer)(random_tensor(c.input, 1, DType::float32)).shape() == c.output);
  }
}

/// Sum of a layer's result, weighted: a scalar whose derivatives test all of the gradients.
double weighted_sum(Module& layer, const Tensor& input, const NamedTensors& training_state) {
  layer.load_training_state(training_state);  // the same dropout mask each time
  const std::vector<double> values = testing::doubles(layer(input));
  double sum = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i] * testing::random_real(9, i);
  }
  return sum;
}

/// Greatest error of a gradient against central differences, relative to its greatest element.
double difference_error(Tensor& tensor, const std::function<double()>& function) {
  const std::vector<double> gradient = testing::doubles(tensor.grad());
  double error = 0.0;
  double scale = 1e-3;
  auto* elements = static_cast<double*>(tensor.data());
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double before = elements[i];
    elements[i] = before + kStep;
    const double above = function();
    elements[i] = before - kStep;
    const double below = function();
    elements[i] = before;
    error = std::max(error, std::abs((above - below) / (2.0 * kStep) - gradient[i]));
    scale = std::max(scale, std::abs(gradient[i]));
  }
  return error / scale;
}

TEST_CASE("every layer: gradients by input and parameters agree with finite differences") {
  for (const LayerCase& c : layer_cases()) {
    CAPTURE(c.type);
    CAPTURE(c.description);
    const auto layer = c.make();
    layer->initialize(3);
    layer->to(DType::float64);
    const NamedTensors training_state = layer->training_state();
    Tensor input = random_tensor(c.input, 2).set_requires_grad();
    const Tensor output = (*layer)(input);
    output.backward(random_tensor(output.shape(), 9));
    std::vector<Tensor> leaves = layer->parameters();
    leaves.push_back(input);
    const NoGradGuard no_grad;
    for (Tensor& leaf : leaves) {
      CHECK(difference_error(leaf, [&] { return weighted_sum(*layer, input, training_state); }) <
            1e-6);
    }
  }
}

TEST_CASE("every layer: state_dict and clone round trips, evaluation is repeatable") {
  for (const LayerCase& c : layer_cases()) {
    CAPTURE(c.type);
    const auto layer = c.make();
    layer->initialize(3);
    const Tensor x = random_tensor(c.input, 2, DType::float32);
    (*layer)(x);  // moves running statistics and step counts
    const auto other = c.make();
    other->load_state_dict(layer->state_dict());
    const auto copy = layer->clone();
    CHECK(copy->description() == layer->description());
    CHECK(compare((*copy)(x), (*layer)(x)).ok);  // in training mode, dropout included
    other->load_state_dict(layer->state_dict());
    other->eval();
    layer->eval();
    const Tensor y = (*layer)(x);
    CHECK(compare((*other)(x), y).ok);
    CHECK(compare((*layer)(x), y).ok);
  }
}

TEST_CASE("layers: options out of range are named with the layer's path") {
  Module net;
  CHECK(message_of<ShapeError>([&] {
          Conv2d(&net, "stem", {.out_channels = 8, .kernel_size = 3});
        }) == "Conv2d stem: in_channels must be at least 1, got 0");
  CHECK(message_of<ShapeError>([] { Conv2d({.in_channels = 3, .out_channels = 8}); }) ==
        "Conv2d: kernel_size must be at least {1,1}, got {0,0}");
  CHECK(message_of<ShapeError>(
            [] { Conv2d({.in_channels = 3, .out_channels = 8, .kernel_size = 3, .groups = 2}); }) ==
        "Conv2d: groups must divide both channel counts, got groups 2, in_channels 3, out_channels "
        "8");
  CHECK(message_of<ShapeError>([] {
          Conv2d({.in_channels = 1, .out_channels = 1, .kernel_size = 1, .padding = {0, 0, -1, 0}});
        }) == "Conv2d: padding.left must be at least 0, got -1");
  CHECK(message_of<Error>([] {
          Conv2d({.in_channels = 1, .out_channels = 1, .kernel_size = 1, .negative_slope = 2});
        }) == "Conv2d: negative_slope must lie in [0, 1], got 2");
  CHECK(message_of<Error>([] {
          Linear({.in_features = 1, .out_features = 1, .negative_slope = -1});
        }) == "Linear: negative_slope must lie in [0, 1], got -1");
  CHECK(message_of<ShapeError>([] {
          ConvTranspose2d(
              {.in_channels = 1, .out_channels = 1, .kernel_size = 2, .output_padding = 1});
        }) ==
        "ConvTranspose2d: output_padding must be below max(stride, dilation), got output_padding "
        "{1,1}, stride {1,1}, dilation {1,1}");
  CHECK(message_of<ShapeError>([] { Linear({.in_features = 3}); }) ==
        "Linear: out_features must be at least 1, got 0");
  CHECK(message_of<ShapeError>([] { BatchNorm2d({.num_features = -1}); }) ==
        "BatchNorm2d: num_features must be at least 1, got -1");
  CHECK_THROWS_AS(BatchNorm2d({.num_features = 1, .eps = 0.0}), Error);
  CHECK_THROWS_AS(BatchNorm2d({.num_features = 1, .momentum = 1.5}), Error);
  CHECK_THROWS_AS(MaxPool2d({.kernel_size = 0}), ShapeError);
  CHECK_THROWS_AS(MaxPool2d({.kernel_size = 2, .dilation = 0}), ShapeError);
  CHECK_THROWS_AS(AvgPool2d({.kernel_size = 2, .stride = -1}), ShapeError);
  CHECK_THROWS_AS(Dropout({.p = 1.5}), Error);
  CHECK_THROWS_AS(Dropout({.p = std::nan("")}), Error);
  CHECK(net.children().empty());
}

TEST_CASE("BatchNorm2d: counts batches in training only, and normalises") {
  BatchNorm2d norm({.num_features = 2});
  const Tensor x = random_tensor({4, 3, 3, 2}, 1, DType::float32);
  norm(x);
  norm(x);
  CHECK(norm.num_batches_tracked.item() == 2);
  const auto mean = norm.running_mean.to_vector<float>();
  norm.eval();
  norm(x);
  CHECK(norm.num_batches_tracked.item() == 2);
  CHECK(norm.running_mean.to_vector<float>() == mean);
  norm.initialize(1);
  CHECK(norm.num_batches_tracked.item() == 0);
  CHECK(norm.running_var.to_vector<float>() == std::vector<float>{1, 1});
  norm.train();
  CHECK_THROWS_AS(norm(random_tensor({1, 1, 1, 2}, 1, DType::float32)), ShapeError);
  CHECK(norm.num_batches_tracked.item() == 0);  // nothing changed
}

TEST_CASE("Dropout: each training pass has a mask of its own; state and clones repeat it") {
  Dropout dropout({.p = 0.5});
  dropout.initialize(4);
  const Tensor x = Tensor::ones({1, 8, 8, 4});
  const NamedTensors start = dropout.training_state();
  const Tensor first = dropout(x);
  const Tensor second = dropout(x);
  CHECK_FALSE(compare(first, second).ok);
  double kept = 0.0;
  for (const double value : testing::doubles(first)) {
    CHECK((value == 0.0 || value == 2.0));
    kept += value / 2.0;
  }
  CHECK(std::abs(kept / 256.0 - 0.5) < 0.125);  // four standard deviations

  Dropout resumed({.p = 0.5});  // not initialised with seed 4
  resumed.load_training_state(start);
  CHECK(compare(resumed(x), first).ok);
  const auto copy = dropout.clone();
  CHECK(compare((*copy)(x), dropout(x)).ok);
  CHECK(dropout.state_dict().empty());
  CHECK_THROWS_AS(resumed.load_training_state({{"key", Tensor::scalar(1.0, DType::int64)}}),
                  StateDictError);
  dropout.eval();
  CHECK(is_same(dropout(x), x));
}

TEST_CASE("Dropout: a layer that a forward pass runs twice draws twice") {
  struct Twice : Module {
    Dropout dropout{this, "dropout", {.p = 0.5}};
    Tensor second;
    Tensor forward(const Tensor& x) override {
      const Tensor first = dropout(x);
      second = dropout(x);
      return first;
    }
  } twice;
  twice.initialize(4);
  const Tensor x = Tensor::ones({1, 8, 8, 4});
  const Tensor first = twice(x);
  CHECK_FALSE(compare(first, twice.second).ok);
  const Tensor second = twice.second;
  const Tensor third = twice(x);
  CHECK_FALSE(compare(third, first).ok);
  CHECK_FALSE(compare(third, second).ok);
}

TEST_CASE("Dropout: one layer may run several times before backward") {
  Dropout dropout({.p = 0.5});
  Tensor x = Tensor::ones({64}).set_requires_grad();
  const Tensor once = dropout(x);
  const Tensor twice = dropout(once);
  twice.backward(Tensor::ones({64}));
  CHECK(compare(x.grad(), twice).ok);  // of a product of masks with ones
}

TEST_CASE("Sequential: an unnamed layer behind numbers that skip some gets the next one") {
  Sequential net;
  net.add<Dropout>("0");
  net.add<Linear>("4", {.in_features = 2, .out_features = 2});
  CHECK(net.add<Dropout>().name() == "5");
  CHECK(net.add([](const Tensor& x) { return x; }).name() == "6");
}

TEST_CASE("Sequential: names by position or given; a failing layer leaves it as it was") {
  Sequential net;
  net.add<Conv2d>({.in_channels = 1, .out_channels = 2, .kernel_size = 3});
  net.add<ReLU>("activation");
  net.add<Flatten>();
  net.add<Linear>("head", {.in_features = 8, .out_features = 3});
  CHECK(net.size() == 4);
  CHECK(net.at(1).name() == "activation");
  CHECK(net.at(2).name() == "2");
  CHECK(net.named_parameters().front().first == "0.weight");
  CHECK(net(Tensor::ones({5, 4, 4, 1})).shape() == Shape{5, 3});
  CHECK_THROWS_AS(net.add<ReLU>("head"), Error);
  CHECK_THROWS_AS(net.add<Linear>({.in_features = 0, .out_features = 3}), ShapeError);
  CHECK(net.size() == 4);
  CHECK(net.children().size() == 4);
  CHECK(message_of<ShapeError>([&] { net.at(4); }) == "Sequential: has no module 4, it holds 4");
  const Tensor x = Tensor::ones({2});
  CHECK(is_same(Sequential()(x), x));
}

TEST_CASE("Sequential: functions have places, names, paths and hooks like layers") {
  struct Net : Module {
    Sequential chain{this, "chain"};
    Tensor forward(const Tensor& x) override { return chain(x); }
  };
  Net net;
  double factor = 2.0;
  net.chain.add<Linear>({.in_features = 3, .out_features = 3});
  net.chain.add(relu);
  net.chain.add("scaled", [&factor](const Tensor& x) { return x * factor; });
  net.chain.add<Linear>({.in_features = 3, .out_features = 2});
  CHECK(net.chain.at(1).name() == "1");
  CHECK(net.chain.at(1).type_name() == "Function");
  const NamedTensors state = net.state_dict();
  REQUIRE(state.size() == 4);
  CHECK(state[2].first == "chain.3.weight");  // as with ReLU at place 1
  std::vector<std::string> seen;
  net.set_forward_hook([&](Module& module, const std::vector<Tensor>&, const Tensor&) {
    seen.push_back(module.path());
  });
  const Tensor x = random_tensor({4, 3}, 1, DType::float32);
  const Tensor y = net(x);
  CHECK(seen ==
        std::vector<std::string>{"chain.0", "chain.1", "chain.scaled", "chain.3", "chain", ""});
  const Tensor hidden = relu(net.chain.at(0)(x)) * 2.0;
  CHECK(compare(net.chain.at(3)(hidden), y).ok);
  CHECK(compare((*net.chain.clone())(x), y).ok);
  net.chain.add([](const Tensor& in) { return in.reshape({7}); });
  CHECK(message_of<ShapeError>([&] { net(x); }).ends_with(", in module chain.4"));
  CHECK(message_of<Error>([&] { net.chain.add(TensorFunction()); }) ==
        "Sequential: the function is empty");
}

TEST_CASE("Concat: branches that do not fit are named") {
  Module net;
  Concat concat(&net, "join");
  CHECK(message_of<Error>([&] {
          concat(Tensor::ones({1, 2, 2, 2}));
        }) == "Concat: has no branch (call add_branch() first), in module join");
  concat.add_branch();
  concat.add_branch("pool").add<MaxPool2d>();
  CHECK_THROWS_AS(concat(Tensor::ones({1, 2, 2, 2})), ShapeError);
}

}  // namespace
}  // namespace cks
