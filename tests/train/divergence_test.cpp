// Numbers that are not finite: in a loss, a gradient or an evaluation.
#include <doctest/doctest.h>

#include <filesystem>
#include <limits>

#include "cks/core/autograd/autograd.h"
#include "tests/support/devices.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/tensors.h"
#include "tests/train/tiny.h"

namespace {

using cks::Device;
using cks::RunFolder;
using cks::Tensor;
using cks::TrainCallbacks;
using cks::testing::ScratchFolder;
using cks::testing::test_devices;

/// Turns its output bad from a call on.
struct Poison : cks::Module {
  using Module::Module;
  std::int64_t calls_left = 0;
  Tensor forward(const Tensor& input) override {
    return calls_left-- > 0 ? input : input * std::numeric_limits<double>::infinity();
  }
};
struct PoisonedNet : cks::Module {
  cks::Linear first{this, "first", {.in_features = 784, .out_features = 16}};
  Poison poison{this, "poison"};
  cks::Linear second{this, "second", {.in_features = 16, .out_features = 10}};
  Tensor forward(const Tensor& images) override {
    return second(poison(first(images.reshape({images.size(0), -1}))));
  }
};

/// Trains on 100 drawn digits, 20 a step. Returns what the NonFiniteError says that ends it.
std::string message_of_fit(const cks::TrainOptions& options, cks::Module& net, Device device) {
  const cks::TrainTest data = cks::drawn_digits({.seed = 3, .train_count = 100, .test_count = 10});
  cks::DataLoader train(data.train, {.batch_size = 20});
  cks::DataLoader test(data.test, {.batch_size = 10, .shuffle = false});
  net.to(device);
  cks::Sgd optimizer(net.named_parameters(), {.learning_rate = 0.01});
  try {
    cks::fit({net, optimizer, train, test}, options);
  } catch (const cks::NonFiniteError& error) {
    return error.what();
  }
  return {};
}

void check_bad_loss(Device device) {
  CAPTURE(device.to_string());
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  PoisonedNet net;
  net.poison.calls_left = 3;
  std::vector<float> before;
  // Without a graph, which would repeat the branch that was recorded.
  cks::TrainOptions options{
      .epochs = 1, .files = {.folder = &folder}, .gpu = {.capture = false, .report_seconds = 0.0}};
  options.callbacks.on_step = [&](const cks::StepEvent&) {
    before = net.first.weight.to_vector<float>();
  };
  const std::string message = message_of_fit(options, net, device);
  CAPTURE(message);
  CHECK(message.find("step 4") != std::string::npos);
  CHECK(message.find("learning rate 0.01") != std::string::npos);
  CHECK(message.find("gradient norm") != std::string::npos);
  CHECK(message.find("layer poison") != std::string::npos);
  CHECK(message.find("TrainOptions::clip_grad_norm") != std::string::npos);
  CHECK(message.find("--") == std::string::npos);        // a user's program has flags of its own
  CHECK(net.first.weight.to_vector<float>() == before);  // the step was not taken
  PoisonedNet restored;
  cks::load_weights(folder.last_file(), restored);  // the checkpoint of the start is whole
}

TEST_CASE("a loss that is not finite stops the run and names step, rate, norm and layer") {
  for (const Device device : test_devices()) {
    check_bad_loss(device);
  }
}

void check_bad_test_loss(Device device) {
  CAPTURE(device.to_string());
  const ScratchFolder scratch;
  const RunFolder folder = RunFolder::create(scratch / "run");
  PoisonedNet net;
  net.poison.calls_left = 11;  // of the first epoch and of the second one's five steps
  const std::string message = message_of_fit(
      {.epochs = 3, .files = {.folder = &folder, .keep_epochs = 3}, .gpu = {.capture = false}}, net,
      device);
  CAPTURE(message);
  CHECK(message.find("after step 10") != std::string::npos);
  CHECK(message.find("epoch 2") != std::string::npos);
  CHECK(message.find("layer poison") != std::string::npos);
  CHECK(net.training());
  // What is not a number is no result: the files are those of the first epoch.
  CHECK(folder.read_metrics().size() == 1);
  CHECK(cks::read_checkpoint_info(folder.best_file()).notes.at("epoch") == "1");
  CHECK(cks::read_checkpoint_info(folder.last_file()).notes.at("epoch") == "1");
  CHECK_FALSE(std::filesystem::exists(folder.epoch_file(2)));
}

TEST_CASE("a test loss that is not finite stops the run and names step, epoch and layer") {
  for (const Device device : test_devices()) {
    check_bad_test_loss(device);
  }
}

/// Its gradient is infinite, its value is not.
struct SpikeBackward : cks::Node {
  const char* name() const override { return "spike"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return {grad_output * std::numeric_limits<double>::infinity()};
  }
};
struct SpikyNet : cks::Module {
  cks::Linear first{this, "first", {.in_features = 784, .out_features = 8}};
  cks::Linear second{this, "second", {.in_features = 8, .out_features = 10}};
  Tensor forward(const Tensor& images) override {
    const Tensor x = first(images.reshape({images.size(0), -1}));
    return second(cks::record<SpikeBackward>(x.detach().clone(), {x}, [](SpikeBackward&) {}));
  }
};

void check_bad_gradient(Device device) {
  CAPTURE(device.to_string());
  SpikyNet net;
  const auto before = net.first.weight.to_vector<float>();
  const std::string message = message_of_fit({.epochs = 1}, net, device);
  CHECK_MESSAGE(message.find("first bad gradient: first.") != std::string::npos, message);
  CHECK(net.first.weight.to_vector<float>() == before);
}

TEST_CASE("a gradient that is not finite stops the run before the step") {
  for (const Device device : test_devices()) {
    check_bad_gradient(device);
  }
}

/// Its gradient is divided by the mean of the images: by 0 in a batch of black ones.
struct MeanBackward : cks::Node {
  Tensor mean;
  const char* name() const override { return "divide_by_mean"; }
  std::vector<Tensor> backward(const Tensor& grad_output, const std::vector<bool>&) override {
    return {grad_output / mean};
  }
};
struct MeanNet : SpikyNet {
  Tensor forward(const Tensor& images) override {
    const Tensor x = first(images.reshape({images.size(0), -1}));
    return second(cks::record<MeanBackward>(
        x.detach().clone(), {x}, [&](MeanBackward& node) { node.mean = cks::mean(images); }));
  }
};

TEST_CASE("the bad gradient that is named is the bad step's, however late it is seen") {
  for (const Device device : test_devices()) {
    for (const bool capture : {false, true}) {
      CAPTURE(device.to_string());
      CAPTURE(capture);
      const cks::TrainTest data =
          cks::drawn_digits({.seed = 3, .train_count = 100, .test_count = 10});
      const auto blacken_third = [](cks::Batch& batch) {
        if (batch.index == 2) {
          batch.images.fill_(0.0);
        }
      };
      cks::DataLoader train(data.train, {.batch_size = 20, .transform = blacken_third});
      cks::DataLoader test(data.test, {.batch_size = 10, .shuffle = false});
      MeanNet net;
      net.to(device);
      cks::Sgd optimizer(net.named_parameters(), {.learning_rate = 0.01});
      std::string message;
      try {
        cks::fit({net, optimizer, train, test},
                 {.epochs = 1, .gpu = {.capture = capture, .report_seconds = 1e9}});
      } catch (const cks::NonFiniteError& error) {
        message = error.what();
      }
      CHECK(message.find("at step 3:") != std::string::npos);
      CHECK(message.find("first bad gradient: first.") != std::string::npos);
    }
  }
}

TEST_CASE("gradients of parameters that the optimiser lacks do not add up from step to step") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const cks::TrainTest data =
        cks::drawn_digits({.seed = 3, .train_count = 100, .test_count = 10});
    cks::DataLoader train(data.train, {.batch_size = 20});
    cks::DataLoader test(data.test, {.batch_size = 10, .shuffle = false});
    MeanNet net;
    net.to(device);
    cks::Sgd optimizer({{"second.weight", net.second.weight}}, {.learning_rate = 0.0});
    std::vector<double> norms;
    TrainCallbacks callbacks;
    callbacks.on_step = [&](const cks::StepEvent& event) { norms.push_back(event.gradient_norm); };
    cks::fit({net, optimizer, train, test}, {.epochs = 1,
                                             .overfit_batch = true,
                                             .gpu = {.report_seconds = 0.0},
                                             .callbacks = callbacks});
    CHECK(norms == std::vector<double>(5, norms.at(0)));
  }
}

/// Divides by what is left of a count that its calls in training take down: by 0 in one of them.
struct CountDown : cks::Module {
  Tensor left;
  CountDown(cks::Module* parent, std::string name, std::int64_t calls)
      : Module(parent, std::move(name)), calls_(calls) {
    register_buffer("count", left, Tensor::zeros({}, cks::DType::int64));
  }
  Tensor forward(const Tensor& input) override {
    if (!training()) {
      return input;
    }
    cks::count_up_(left);
    return input / (left.to(cks::DType::float32) - static_cast<double>(calls_));
  }

 private:
  std::int64_t calls_;
};
struct CountDownNet : cks::Module {
  cks::Linear first{this, "first", {.in_features = 784, .out_features = 16}};
  CountDown down;
  explicit CountDownNet(std::int64_t calls) : down(this, "down", calls) {}
  Tensor forward(const Tensor& images) override {
    return down(first(images.reshape({images.size(0), -1})));
  }
};

/// Parameters and optimiser state of a run of at most `steps` steps, and what it threw.
struct Outcome {
  std::vector<std::vector<double>> values;
  std::string message;
};
Outcome train_count_down(Device device, std::int64_t calls, std::int64_t steps) {
  const cks::TrainTest data = cks::drawn_digits({.seed = 3, .train_count = 190, .test_count = 10});
  cks::DataLoader train(data.train, {.batch_size = 20, .device = device});
  cks::DataLoader test(data.test, {.batch_size = 10, .shuffle = false, .device = device});
  CountDownNet net(calls);
  net.to(device);
  cks::Adam optimizer(net.named_parameters(), {.learning_rate = 0.01});
  Outcome outcome;
  try {
    cks::fit({net, optimizer, train, test, cks::cosine_lr(40)},
             {.epochs = 2, .max_steps = steps, .gpu = {.report_seconds = 1e9}});
  } catch (const cks::NonFiniteError& error) {
    outcome.message = error.what();
  }
  for (const auto& [name, tensor] : net.named_parameters()) {
    outcome.values.push_back(cks::testing::doubles(tensor));
  }
  for (const auto& [name, tensor] : optimizer.state()) {
    outcome.values.push_back(cks::testing::doubles(tensor));
  }
  return outcome;
}

TEST_CASE(
    "a bad loss leaves parameters and optimiser of the step before, however late it is seen") {
  for (const Device device : test_devices()) {
    for (const std::int64_t bad : {1, 2, 3, 6, 10, 13}) {  // the tenth step is of a smaller batch
      CAPTURE(device.to_string());
      CAPTURE(bad);
      const Outcome stopped = train_count_down(device, bad, 0);
      CHECK(stopped.message.find("at step " + std::to_string(bad) + ":") != std::string::npos);
      if (bad > 1) {
        const Outcome before = train_count_down(device, bad, bad - 1);
        CHECK(before.message.empty());
        CHECK(stopped.values == before.values);
      }
    }
  }
}

}  // namespace
