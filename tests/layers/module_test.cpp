#include "cks/layers/module.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/memory/storage.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/optim/sgd.h"
#include "cks/core/profile/module_path.h"
#include "cks/layers/batch_norm2d.h"
#include "cks/layers/conv2d.h"
#include "cks/layers/dropout.h"
#include "cks/layers/linear.h"
#include "cks/layers/sequential.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::message_of;
using testing::random_tensor;

struct Block : Layer<Block> {
  using Layer::Layer;
  Tensor forward(const Tensor& x) override { return norm(conv(x)); }
  Conv2d conv{this, "conv", {.in_channels = 2, .out_channels = 3, .kernel_size = {3, 2}}};
  BatchNorm2d norm{this, "norm", {.num_features = 3}};
};

struct Net : Layer<Net> {
  Tensor forward(const Tensor& x) override { return dropout(block(x)); }
  Block block{this, "block"};
  Dropout dropout{this, "dropout", {.p = 0.5}};
};

std::vector<std::string> names(const NamedTensors& tensors) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : tensors) {
    result.push_back(name);
  }
  return result;
}

TEST_CASE("Module: members register themselves by path") {
  Net net;
  CHECK(names(net.named_parameters()) ==
        std::vector<std::string>{"block.conv.weight", "block.conv.bias", "block.norm.weight",
                                 "block.norm.bias"});
  CHECK(names(net.named_buffers()) == std::vector<std::string>{"block.norm.running_mean",
                                                               "block.norm.running_var",
                                                               "block.norm.num_batches_tracked"});
  CHECK(names(net.training_state()) == std::vector<std::string>{"dropout.key", "dropout.step"});
  CHECK(net.num_parameters() == 3 * 3 * 2 * 2 + 3 + 3 + 3);
  CHECK(net.path().empty());
  CHECK(net.block.norm.path() == "block.norm");
  CHECK(net.type_name() == "Net");
  CHECK(net.block.conv.type_name() == "Conv2d");
  std::vector<std::string> paths;
  for (const Module* module : net.modules()) {
    paths.push_back(module->path());
  }
  CHECK(paths == std::vector<std::string>{"", "block", "block.conv", "block.norm", "dropout"});
  for (const Tensor& parameter : net.parameters()) {
    CHECK(parameter.requires_grad());
    CHECK(parameter.is_leaf());
  }
}

TEST_CASE("Module: names that cannot be a path are refused") {
  struct Two : Module {
    Two(const std::string& a, const std::string& b)
        : first(this, a, {.in_features = 1, .out_features = 1}),
          second(this, b, {.in_features = 1, .out_features = 1}) {}
    Linear first, second;
  };
  CHECK_NOTHROW(Two("a", "b"));
  CHECK(message_of<Error>([] { Two("a", "a"); }).find("\"a\" is taken") != std::string::npos);
  CHECK(message_of<Error>([] { Two("a", ""); }).find("is empty") != std::string::npos);
  CHECK(message_of<Error>([] { Two("a", "b.c"); }).find("has a dot") != std::string::npos);
}

TEST_CASE("Module: a child may die before or after its parent") {
  auto parent = std::make_unique<Module>();
  auto first = std::make_unique<Linear>(parent.get(), "first",
                                        Linear::Options{.in_features = 1, .out_features = 1});
  auto second = std::make_unique<Linear>(parent.get(), "second",
                                         Linear::Options{.in_features = 1, .out_features = 1});
  first.reset();
  CHECK(names(parent->named_parameters()) ==
        std::vector<std::string>{"second.weight", "second.bias"});
  parent.reset();
  CHECK(second->path().empty());
  CHECK(second->forward(Tensor::ones({1, 1})).shape() == Shape{1, 1});
}

TEST_CASE("Module: a constructor that throws leaves nothing behind") {
  Module parent;
  CHECK_THROWS_AS(Linear(&parent, "bad", {.in_features = 0, .out_features = 1}), ShapeError);
  CHECK(parent.children().empty());
}

TEST_CASE("Module: a parameter's first values depend on seed and path alone") {
  struct Small : Module {
    Linear a{this, "a", {.in_features = 3, .out_features = 4}};
    Linear b{this, "b", {.in_features = 3, .out_features = 4}};
  };
  struct Large : Module {
    Linear more{this, "more", {.in_features = 3, .out_features = 4}};
    Linear b{this, "b", {.in_features = 3, .out_features = 4}};
    Linear a{this, "a", {.in_features = 3, .out_features = 4}};
  };
  Small small;
  Large large;
  CHECK(compare(small.a.weight, large.a.weight).ok);  // both from seed 0
  const Tensor before = small.a.weight.detach().clone();
  small.initialize(7);
  CHECK_FALSE(compare(small.a.weight, before).ok);
  CHECK_FALSE(compare(small.a.weight, small.b.weight).ok);
  large.initialize(7);
  CHECK(compare(small.a.weight, large.a.weight).ok);
  CHECK(compare(small.b.bias, large.b.bias).ok);
  small.initialize(0);
  CHECK(compare(small.a.weight, before).ok);
}

TEST_CASE("Module: state_dict has PyTorch's layout and comes back bit for bit") {
  Net net;
  net.block.conv.weight.set_data(random_tensor({3, 3, 2, 2}, 5, DType::float32));
  net.block.norm.running_mean.copy_(random_tensor({3}, 6, DType::float32));
  net.block.norm.num_batches_tracked.fill_(17);
  const NamedTensors state = net.state_dict();
  CHECK(names(state) ==
        std::vector<std::string>{"block.conv.weight", "block.conv.bias", "block.norm.weight",
                                 "block.norm.bias", "block.norm.running_mean",
                                 "block.norm.running_var", "block.norm.num_batches_tracked"});
  const Tensor& filter = state[0].second;
  REQUIRE(filter.shape() == Shape{3, 2, 3, 2});  // OIHW
  const auto memory = net.block.conv.weight.to_vector<float>();
  const auto file = filter.to_vector<float>();
  for (std::size_t o = 0; o < 3; ++o) {
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t h = 0; h < 3; ++h) {
        for (std::size_t w = 0; w < 2; ++w) {
          CHECK(file[((o * 2 + i) * 3 + h) * 2 + w] == memory[((o * 3 + h) * 2 + w) * 2 + i]);
        }
      }
    }
  }
  CHECK(state[6].second.dtype() == DType::int64);
  CHECK(state[6].second.rank() == 0);

  Net other;
  other.initialize(3);
  const Tensor handle = other.block.conv.weight;
  other.load_state_dict(state);
  CHECK(is_same(handle, other.block.conv.weight));
  CHECK(handle.requires_grad());
  const NamedTensors again = other.state_dict();
  for (std::size_t i = 0; i < state.size(); ++i) {
    CHECK(compare(again[i].second, state[i].second).ok);
  }
  // The copies are the caller's own.
  net.block.conv.bias.set_data(Tensor::zeros({3}));
  CHECK(compare(again[1].second, state[1].second).ok);
}

TEST_CASE("Module: load_state_dict lists all that does not fit and then changes nothing") {
  Net net;
  NamedTensors state = net.state_dict();
  for (auto& [name, tensor] : state) {
    if (is_floating(tensor.dtype())) {
      tensor = tensor + 1.0;
    }
  }
  state[0].second = Tensor::zeros({3, 3, 2, 2});              // memory's layout, not the file's
  state[1].first = "block.conv.biass";                        // one missing, one unexpected
  state[6].second = Tensor::scalar(1.0);                      // a float for a count
  state.emplace_back("block.norm.bias", Tensor::zeros({3}));  // twice
  const NamedTensors before = net.state_dict();
  const std::string message = message_of<StateDictError>([&] { net.load_state_dict(state); });
  CHECK(message ==
        "load_state_dict: the tensors do not fit Net\n"
        "  missing: block.conv.bias\n"
        "  unexpected: block.norm.bias (a second time), block.conv.biass\n"
        "  mis-shaped: block.conv.weight (got [3,3,2,2] float32, expected [3,2,3,2] float32), "
        "block.norm.num_batches_tracked (got [] float32, expected [] int64)");
  const NamedTensors after = net.state_dict();
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(compare(after[i].second, before[i].second).ok);
  }

  // Not strict: what is there is loaded; what is mis-shaped is an error all the same.
  CHECK_THROWS_AS(net.load_state_dict(state, /*strict=*/false), StateDictError);
  net.load_state_dict({{"block.conv.bias", Tensor::full({3}, 4.0)}, {"else", Tensor::ones({1})}},
                      /*strict=*/false);
  CHECK(net.block.conv.bias.to_vector<float>() == std::vector<float>{4, 4, 4});
}

TEST_CASE("Module: load_state_dict converts between floating dtypes") {
  Net net;
  net.to(DType::float64);
  NamedTensors state;
  for (const auto& [name, tensor] : Net().state_dict()) {
    state.emplace_back(name, tensor);
  }
  net.load_state_dict(state);
  CHECK(net.block.conv.weight.dtype() == DType::float64);
}

TEST_CASE("Module: to(dtype) keeps handles, gradients' wishes and integers") {
  Net net;
  const Tensor handle = net.block.conv.weight;
  net.to(DType::float64);
  CHECK(handle.dtype() == DType::float64);
  CHECK(handle.requires_grad());
  CHECK(net.block.norm.running_var.dtype() == DType::float64);
  CHECK(net.block.norm.num_batches_tracked.dtype() == DType::int64);
  CHECK(net(random_tensor({2, 4, 4, 2}, 1)).dtype() == DType::float64);
  net.to(Device::cpu());
  CHECK(is_same(handle, net.block.conv.weight));
  CHECK_THROWS_AS(net.to(DType::int32), DtypeError);
  CHECK_THROWS_AS(net.to(Device::cuda(1000)), DeviceError);  // no machine has so many
  CHECK(net.block.conv.weight.device().is_cpu());
}

TEST_CASE("Module: train and eval reach all modules, also those added later") {
  Net net;
  CHECK(net.training());
  net.eval();
  for (const Module* module : net.modules()) {
    CHECK_FALSE(module->training());
  }
  Sequential chain;
  chain.eval();
  CHECK_FALSE(chain.add<Dropout>().training());
  chain.train();
  CHECK(chain.at(0).training());
}

TEST_CASE("clone: equal and independent") {
  Net net;
  net.initialize(5);
  net.to(DType::float64);
  net(random_tensor({2, 5, 5, 2}, 1));  // moves the running statistics and the dropout's step
  net.block.eval();
  net.block.conv.bias.set_requires_grad(false);
  const auto copy = net.clone();
  CHECK(copy->training());
  CHECK_FALSE(copy->block.norm.training());
  CHECK_FALSE(copy->block.conv.bias.requires_grad());
  CHECK(copy->block.conv.weight.dtype() == DType::float64);
  const Tensor x = random_tensor({2, 5, 5, 2}, 2);
  CHECK(compare((*copy)(x), net(x)).ok);  // the same dropout mask, too
  copy->block.conv.weight.set_data(Tensor::zeros({3, 3, 2, 2}, DType::float64));
  CHECK_FALSE(compare(copy->block.conv.weight, net.block.conv.weight).ok);

  struct Other : Module {
    Linear fc{this, "fc", {.in_features = 1, .out_features = 1}};
  };
  Other other;
  const std::string message = message_of<StateDictError>([&] { copy_module_state(net, other); });
  CHECK(message.find("missing: fc.bias, fc.weight") != std::string::npos);
  CHECK(message.find("unexpected: block.conv.weight") != std::string::npos);
}

TEST_CASE("clone: keeps options, and the class behind a reference to Module") {
  struct Scaled : Layer<Scaled, LinearOptions> {
    Scaled(Module* parent, std::string name, const Options& options)
        : Layer(parent, std::move(name), options) {
      register_parameter("scale", scale, Tensor::ones({options.out_features}));
    }
    Tensor forward(const Tensor& x) override { return fc(x) * scale; }
    Linear fc{this, "fc", options()};
    Tensor scale;
  };
  struct Parent : Layer<Parent> {
    Scaled part{this, "part", {.in_features = 3, .out_features = 2, .bias = false}};
    Tensor forward(const Tensor& x) override { return part(x); }
  };
  Parent parent;
  parent.part.scale.set_data(Tensor::full({2}, 3.0));
  const Tensor x = random_tensor({4, 3}, 1, DType::float32);
  const std::unique_ptr<Scaled> part = parent.part.clone();
  CHECK(part->path().empty());
  CHECK_FALSE(part->options().bias);
  CHECK(compare((*part)(x), parent(x)).ok);
  const Module& behind = parent;
  const std::unique_ptr<Module> copy = behind.clone();
  CHECK(copy->type_name() == "Parent");
  CHECK(compare((*copy)(x), parent(x)).ok);
}

TEST_CASE("clone: a module that does not say how to make another is named") {
  struct Plain : Module {};
  CHECK(message_of<Error>([] { Plain().clone(); }) ==
        "clone: Plain does not say how to make another: derive it from Layer<Plain>, or override "
        "make_another()");
  struct Derived : Linear {
    Derived() : Linear({.in_features = 1, .out_features = 1}) {}
  };
  CHECK(message_of<Error>([] { Derived().clone(); }) ==
        "clone: Derived inherits the make_another() of Linear: derive it from Layer<Derived>, or "
        "override make_another()");
}

/// Two layers of one weight, as an encoder and its decoder have it.
struct Tied : Layer<Tied> {
  Tied() { b.weight = a.weight; }
  Tensor forward(const Tensor& x) override { return b(a(x)); }
  Linear a{this, "a", {.in_features = 2, .out_features = 2, .bias = false}};
  Linear b{this, "b", {.in_features = 2, .out_features = 2, .bias = false}};
};
struct Free : Layer<Free> {
  Tensor forward(const Tensor& x) override { return b(a(x)); }
  Linear a{this, "a", {.in_features = 2, .out_features = 2, .bias = false}};
  Linear b{this, "b", {.in_features = 2, .out_features = 2, .bias = false}};
};

TEST_CASE("tied weights: counted and stepped once, by the sum of their gradients") {
  Tied net;
  init::constant(net.a.weight, 1.0);
  CHECK(names(net.named_parameters()) == std::vector<std::string>{"a.weight"});
  CHECK(net.num_parameters() == 4);
  Sgd optimizer(net.named_parameters(), {.learning_rate = 0.5});
  sum(net(Tensor::ones({1, 2}))).backward();  // d/dW of 1' W W 1 is 1 (W 1)' + (W' 1) 1' = 2 + 2
  optimizer.step();
  CHECK(net.a.weight.to_vector<float>() == std::vector<float>(4, 1.0F - 0.5F * 4.0F));
  CHECK(is_same(net.a.weight, net.b.weight));
}

TEST_CASE("tied weights: saved under each path, read back from one or all, as PyTorch does") {
  Tied net;
  init::constant(net.a.weight, 3.0);
  CHECK(names(net.state_dict()) == std::vector<std::string>{"a.weight", "b.weight"});
  const auto values_of = [](const Tensor& tensor) { return tensor.to_vector<float>(); };
  Tied other;
  other.load_state_dict(net.state_dict());
  CHECK(values_of(other.a.weight) == std::vector<float>(4, 3.0F));
  for (const char* path : {"a.weight", "b.weight"}) {
    other.load_state_dict({{path, Tensor::full({2, 2}, 5.0)}});
    CHECK(values_of(other.b.weight) == std::vector<float>(4, 5.0F));
  }
  other.load_state_dict(
      {{"a.weight", Tensor::full({2, 2}, 1.0)}, {"b.weight", Tensor::full({2, 2}, 2.0)}});
  CHECK(values_of(other.a.weight) == std::vector<float>(4, 2.0F));
  CHECK(is_same(other.a.weight, other.b.weight));
  CHECK_THROWS_AS(other.load_state_dict({}), StateDictError);
  CHECK_THROWS_AS(Free().load_state_dict({{"a.weight", Tensor::ones({2, 2})}}), StateDictError);
}

TEST_CASE("tied weights: a copy ties as its source does") {
  const Tied net;
  const auto copy = net.clone();
  CHECK(is_same(copy->a.weight, copy->b.weight));
  CHECK(!is_same(copy->a.weight, net.a.weight));
  CHECK(copy->a.weight.requires_grad());

  Free tied_later;
  tied_later.b.weight = tied_later.a.weight;
  const auto later = tied_later.clone();
  CHECK(is_same(later->a.weight, later->b.weight));

  Free source;
  init::constant(source.a.weight, 1.0);
  init::constant(source.b.weight, 2.0);
  Free target;
  target.b.weight = target.a.weight;
  copy_module_state(source, target);
  CHECK(target.a.weight.to_vector<float>() == std::vector<float>(4, 1.0F));
  CHECK(target.b.weight.to_vector<float>() == std::vector<float>(4, 2.0F));
  CHECK(target.b.weight.requires_grad());
}

TEST_CASE("Module: set_requires_grad freezes what is below") {
  Net net;
  net(Tensor::ones({2, 4, 4, 2})).backward(Tensor::ones({2, 2, 3, 3}));
  net.block.conv.set_requires_grad(false);
  CHECK_FALSE(net.block.conv.weight.grad().defined());  // an optimiser leaves it alone
  net.zero_grad();
  net(Tensor::ones({2, 4, 4, 2})).backward(Tensor::ones({2, 2, 3, 3}));
  CHECK_FALSE(net.block.conv.weight.grad().defined());
  CHECK(net.block.norm.weight.grad().defined());
  CHECK_FALSE(net.clone()->block.conv.bias.requires_grad());
  net.set_requires_grad(true);
  net(Tensor::ones({2, 4, 4, 2})).backward(Tensor::ones({2, 2, 3, 3}));
  CHECK(net.block.conv.weight.grad().defined());
}

TEST_CASE("Module: the forward hook sees every module, the inner ones first") {
  Net net;
  std::vector<std::string> seen;
  net.set_forward_hook(
      [&](Module& module, const std::vector<Tensor>& inputs, const Tensor& output) {
        seen.push_back(module.path() + " " + inputs.front().shape().to_string() + " " +
                       output.shape().to_string());
      });
  net(Tensor::ones({1, 4, 4, 2}));
  CHECK(seen == std::vector<std::string>{"block.conv [1,4,4,2] [1,2,3,3]",
                                         "block.norm [1,2,3,3] [1,2,3,3]",
                                         "block [1,4,4,2] [1,2,3,3]", "dropout [1,2,3,3] [1,2,3,3]",
                                         " [1,4,4,2] [1,2,3,3]"});
  net.set_forward_hook({});
  net(Tensor::ones({1, 4, 4, 2}));
  CHECK(seen.size() == 5);
}

TEST_CASE("Module: a module of several inputs says that it has no forward()") {
  struct Pair : Module {
    Pair(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  };
  struct Holder : Module {
    Pair pair{this, "pair"};
  };
  Holder holder;
  CHECK(message_of<Error>([&] { holder.pair(Tensor::ones({1})); }) ==
        "Pair has no forward() of one tensor (call its own member function), in module pair");
}

/// Two tensors and a number in, a pair out.
struct Mixer : Layer<Mixer> {
  using Layer::Layer;
  using Module::forward;
  std::pair<Tensor, Tensor> forward(const Tensor& a, const Tensor& b, double factor) {
    return {both(a, b), a * factor};
  }
  struct Both : Layer<Both> {
    using Layer::Layer;
    using Module::forward;
    Tensor forward(const Tensor& a, const Tensor& b) { return a + b; }
  };
  Both both{this, "both"};
};

TEST_CASE("Module: several inputs keep hooks, paths and the places of errors") {
  struct Holder : Layer<Holder> {
    Mixer mixer{this, "mixer"};
    Tensor forward(const Tensor& x) override { return mixer(x, x, 3.0).second; }
  };
  Holder holder;
  std::vector<std::string> seen;
  holder.set_forward_hook([&](Module& module, const std::vector<Tensor>& inputs, const Tensor&) {
    seen.push_back(module.path() + " " + std::to_string(inputs.size()) + " in " +
                   current_module_path());
  });
  CHECK(holder(Tensor::ones({2})).to_vector<float>() == std::vector<float>{3, 3});
  CHECK(seen == std::vector<std::string>{"mixer.both 2 in mixer.both", " 1 in "});
  const Tensor other = Tensor::ones({3});
  CHECK(message_of<ShapeError>([&] {
          holder.mixer(Tensor::ones({2}), other, 1.0);
        }).ends_with(", in module mixer.both"));
  const auto copy = holder.clone();
  CHECK(copy->mixer(other, other, 2.0).first.to_vector<float>() == std::vector<float>{2, 2, 2});
}

struct MyShapeError : ShapeError {  // of a user
  using ShapeError::ShapeError;
  int code = 7;
};
struct Foreign {};

/// Throws what it is told to.
struct Thrower : Module {
  Thrower(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  std::function<void()> body;
  Tensor forward(const Tensor& x) override {
    body();
    return x;
  }
};

struct ThrowingNet : Module {
  struct Part : Module {
    explicit Part(Module* parent) : Module(parent, "a") {}
    Conv2d conv{this, "conv", {.in_channels = 3, .out_channels = 1, .kernel_size = 2}};
    Thrower thrower{this, "thrower"};
    Tensor forward(const Tensor& x) override { return conv(thrower(x)); }
  };
  Part part{this};
  Tensor forward(const Tensor& x) override { return part(x); }
};

TEST_CASE("Module: an error that leaves forward() keeps its type and names the innermost module") {
  ThrowingNet net;
  net.part.thrower.body = [] {};
  const Tensor one_channel = Tensor::ones({1, 2, 2, 1});
  const std::string message = message_of<ShapeError>([&] { net(one_channel); });
  CHECK(message.starts_with("conv2d: input has 1 channels, weight expects 3 (input [1,2,2,1]"));
  CHECK(message.ends_with("), in module a.conv"));
  {
    const NoGradGuard no_grad;
    CHECK(message_of<ShapeError>([&] { net(one_channel); }) == message);
  }
  CapturedStep step([&] { net(one_channel); });
  CHECK(message_of<ShapeError>([&] { step.run(); }) == message);
  CHECK(current_module_path().empty());
  // Without modules around it, and outside of modules, there is nothing to name.
  const Conv2d::Options options{.in_channels = 3, .out_channels = 1, .kernel_size = 2};
  const std::string alone = message_of<ShapeError>([&] { Conv2d{options}(one_channel); });
  CHECK(message == alone + ", in module a.conv");
  CHECK(message_of<ShapeError>(
            [&] { conv2d(one_channel, net.part.conv.weight, net.part.conv.bias); }) == alone);

  // One that was caught on the way does not speak for the next.
  struct Holder : Module {
    Thrower thrower{this, "thrower"};
    Tensor forward(const Tensor& x) override { return thrower(x); }
  };
  Holder holder;
  holder.thrower.body = [&] {
    message_of<Error>([&] { net(one_channel); });
    throw Error("the next");
  };
  CHECK(message_of<Error>([&] { holder(one_channel); }) == "the next, in module thrower");
}

TEST_CASE("Module: exceptions of a user's own types come through forward()") {
  ThrowingNet net;
  const Tensor x = Tensor::ones({1, 2, 2, 3});
  net.part.thrower.body = [] { throw MyShapeError("mine"); };
  try {
    net(x);
    FAIL("nothing was thrown");
  } catch (const MyShapeError& error) {
    CHECK(error.code == 7);
    CHECK(std::string(error.what()) == "mine, in module a.thrower");
  }
  net.part.thrower.body = [] { throw std::invalid_argument("theirs"); };
  CHECK(message_of<std::invalid_argument>([&] { net(x); }) == "theirs");
  net.part.thrower.body = [] { throw Foreign(); };
  CHECK_THROWS_AS(net(x), Foreign);
}

TEST_CASE("Module: running out of memory names the module once, in both passes") {
  ThrowingNet net;
  net.part.thrower.body = [] {};
  const Tensor x = Tensor::ones({8, 64, 64, 3}).set_requires_grad();
  const auto with_limit = [&](auto&& body) {
    set_memory_limit(memory_stats().in_use + 1000);
    const std::string message = message_of<OutOfMemoryError>(body);
    set_memory_limit(0);
    return message;
  };
  const std::string forward = with_limit([&] { net(x); });
  CHECK(forward.starts_with("conv2d: out of memory on cpu: "));
  CHECK(forward.ends_with(", in module a.conv"));
  CHECK(forward.find("in module") == forward.rfind("in module"));
  const Tensor y = net(x);
  const Tensor gradient = Tensor::ones(y.shape());
  const std::string backward = with_limit([&] { y.backward(gradient); });
  CHECK(backward.ends_with(", in backward of module a.conv"));
  CHECK(backward.find("of module") == backward.rfind("of module"));
}

TEST_CASE("Module: zero_grad forgets all gradients") {
  Net net;
  const Tensor y = net(Tensor::ones({2, 4, 4, 2}));
  y.backward(Tensor::ones(y.shape()));
  CHECK(net.block.conv.weight.grad().defined());
  net.zero_grad();
  CHECK_FALSE(net.block.conv.weight.grad().defined());
}

struct Twice : Conv2d {
  using Conv2d::Conv2d;
  Tensor forward(const Tensor& x) override { return Conv2d::forward(x) * 2.0; }
};

TEST_CASE("Module: a child whose class would be lost is not cloned") {
  Sequential chain;
  chain.emplace<Twice>("t", Conv2dOptions{.in_channels = 1, .out_channels = 1, .kernel_size = 1});
  CHECK(message_of<Error>([&] { chain.clone(); }).find("t inherits the make_another() of Conv2d") !=
        std::string::npos);
}

}  // namespace
}  // namespace cks
