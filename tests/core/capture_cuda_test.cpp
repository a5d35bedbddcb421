#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "cks/core/capture/capture.h"
#include "cks/core/conv/conv2d.h"
#include "cks/core/conv/matmul.h"
#include "cks/core/device/capture_rules.h"
#include "cks/core/device/cuda.h"
#include "cks/core/device/stream.h"
#include "cks/core/ops/activation.h"
#include "cks/core/ops/batch_norm2d.h"
#include "cks/core/ops/counter.h"
#include "cks/core/ops/dropout.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/loss.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/clip_grad_norm.h"
#include "cks/core/optim/sgd.h"
#include "cks/core/tensor/random.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"

// Whole training steps, captured: on the CPU the lambda again, on a GPU a CUDA graph.

namespace cks {
namespace {

using testing::contains;
using testing::has_gpu;
using testing::message_of;
using testing::test_devices;

const Device kGpu = Device::cuda();

/// One of each kind of state that a step keeps: weights, running statistics, a dropout's count.
struct Net {
  Tensor conv;
  Tensor scale;
  Tensor shift;
  Tensor mean;
  Tensor var;
  Tensor fc;
  Tensor fc_bias;
  Tensor dropout_step;

  explicit Net(Device device) {
    conv = testing::random_tensor({8, 3, 3, 3}, 1, DType::float32).to(device).set_requires_grad();
    scale = Tensor::ones({8}, DType::float32, device).set_requires_grad();
    shift = Tensor::zeros({8}, DType::float32, device).set_requires_grad();
    mean = Tensor::zeros({8}, DType::float32, device);
    var = Tensor::ones({8}, DType::float32, device);
    fc = testing::random_tensor({4, 8}, 2, DType::float32).to(device).set_requires_grad();
    fc_bias = Tensor::zeros({4}, DType::float32, device).set_requires_grad();
    dropout_step = Tensor::zeros({}, DType::int64, device);
  }

  NamedTensors parameters() const {
    return {{"conv", conv}, {"scale", scale}, {"shift", shift}, {"fc", fc}, {"fc_bias", fc_bias}};
  }

  Tensor loss(const Tensor& images, const Tensor& labels) {
    Tensor y = conv2d(images, conv, {}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}});
    y = relu(batch_norm2d(y, scale, shift, mean, var));
    y = cks::mean(y, {1, 2});
    const Tensor step = dropout_step.clone();
    count_up_(dropout_step);
    y = dropout(y, 0.25, make_random_key(3, RandomPurpose::dropout), step);
    return cross_entropy(linear(y, fc, fc_bias), labels);
  }

  /// Everything that a step changes.
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all;
    for (const Tensor& tensor :
         {conv, scale, shift, mean, var, fc, fc_bias, dropout_step.to(DType::float64)}) {
      all.push_back(testing::doubles(tensor));
    }
    return all;
  }
};

Tensor images_of(std::int64_t batch, int step) {
  return testing::random_tensor({batch, 7, 6, 3}, 100 + static_cast<std::uint64_t>(step),
                                DType::float32);
}

Tensor labels_of(std::int64_t batch, int step) {
  std::vector<std::int64_t> labels(static_cast<std::size_t>(batch));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::int64_t>(i * 7 + static_cast<std::size_t>(step)) % 4;
  }
  return Tensor::from_vector(labels, {batch});
}

std::unique_ptr<Optimizer> make_optimizer(const Net& net, bool adam) {
  if (adam) {
    return std::make_unique<Adam>(net.parameters(), Adam::Options{.weight_decay = 1e-2});
  }
  return std::make_unique<Sgd>(net.parameters(),
                               Sgd::Options{.learning_rate = 0.05, .momentum = 0.9});
}

/// A net, its optimiser and the tensors that hold the batch.
struct Training {
  Net net;
  std::unique_ptr<Optimizer> optimizer;
  Tensor images;
  Tensor labels;
  Tensor loss;

  Training(Device device, bool adam, std::int64_t batch = 6)
      : net(device),
        optimizer(make_optimizer(net, adam)),
        images(Tensor::zeros({batch, 7, 6, 3}, DType::float32, device)),
        labels(Tensor::zeros({batch}, DType::int64, device)) {}

  void load(int step) {
    images.copy_(images_of(images.size(0), step));
    labels.copy_(labels_of(labels.size(0), step));
  }
  void body() {
    optimizer->zero_grad();
    loss = net.loss(images, labels);
    loss.backward();
    optimizer->step(clip_grad_norm(optimizer->parameters(), 1.0).factor);
  }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all = net.values();
    for (const auto& [name, tensor] : optimizer->state()) {
      all.push_back(testing::doubles(tensor));
    }
    all.push_back(testing::doubles(loss));
    return all;
  }
};

/// Sets the limit back when a test ends.
struct LimitScope {
  Device device;
  LimitScope(std::int64_t bytes, Device limited) : device(limited) {
    set_memory_limit(bytes, device);
  }
  ~LimitScope() { set_memory_limit(0, device); }
  LimitScope(const LimitScope&) = delete;
  LimitScope& operator=(const LimitScope&) = delete;
};

TEST_CASE("CapturedStep: 20 repetitions equal 20 plain steps, bit for bit") {
  for (const Device device : test_devices()) {
    for (const bool adam : {false, true}) {
      CAPTURE(device.to_string());
      CAPTURE(adam);
      Training plain(device, adam);
      Training captured(device, adam);
      CapturedStep step([&] { captured.body(); }, device);
      std::vector<const void*> addresses;
      for (int t = 0; t < 20; ++t) {
        CAPTURE(t);
        for (Training* training : {&plain, &captured}) {
          training->load(t);
          training->optimizer->set_learning_rate(0.05 / (1 + t));
        }
        plain.body();
        step.run();
        REQUIRE(step.recorded() == (device.is_cuda() && t >= 1));
        const auto values = captured.values();
        REQUIRE(values == plain.values());
        REQUIRE(std::isfinite(values.back().front()));
        if (step.recorded()) {
          addresses.push_back(captured.net.conv.grad().data());
          CHECK(addresses.back() == addresses.front());
        }
        REQUIRE(testing::doubles(captured.net.conv.grad()) ==
                testing::doubles(plain.net.conv.grad()));
      }
      CHECK(captured.optimizer->step_count() == 20);
      CHECK(captured.net.dropout_step.item() == 20);
    }
  }
}

TEST_CASE("CapturedStep: a last batch of another size goes through a step of its own") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Training plain(device, true);
    Training captured(device, true);
    Tensor tail_images = Tensor::zeros({2, 7, 6, 3}, DType::float32, device);
    Tensor tail_labels = Tensor::zeros({2}, DType::int64, device);
    const auto tail_body = [&](Training& training) {
      training.optimizer->zero_grad();
      training.loss = training.net.loss(tail_images, tail_labels);
      training.loss.backward();
      training.optimizer->step();
    };
    CapturedStep step([&] { captured.body(); }, device);
    CapturedStep tail([&] { tail_body(captured); }, device);
    for (int epoch = 0; epoch < 5; ++epoch) {
      for (int t = 0; t < 3; ++t) {
        plain.load(t);
        captured.load(t);
        plain.body();
        step.run();
      }
      tail_images.copy_(images_of(2, epoch));
      tail_labels.copy_(labels_of(2, epoch));
      tail_body(plain);
      tail.run();
      REQUIRE(captured.net.values() == plain.net.values());
    }
  }
}

TEST_CASE("CapturedStep: gradients that are not forgotten add up over repetitions") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::full({2}, 3, DType::float32, device).set_requires_grad();
    CapturedStep step([&] { sum(square(x)).backward(); }, device);
    for (int t = 1; t <= 5; ++t) {
      step.run();
      CHECK(x.grad().to_vector<float>() == std::vector<float>(2, 6.0F * static_cast<float>(t)));
    }
  }
}

TEST_CASE("CapturedStep: nobody else gets its memory while it lives, all of it comes back") {
  if (!has_gpu()) {
    return;
  }
  trim_memory(kGpu);
  const MemoryStats before = memory_stats(kGpu);
  {
    Tensor x = Tensor::ones({1000}, DType::float32, kGpu);
    Tensor result;
    CapturedStep step([&] { result = (x + 1.0) * 2.0 + (x - 1.0); }, kGpu);
    step.run();
    step.run();
    const std::int64_t held = memory_stats(kGpu).reserved;
    for (int t = 0; t < 10; ++t) {
      std::vector<Tensor> others;
      others.reserve(20);
      for (int i = 0; i < 20; ++i) {  // of the sizes inside
        others.push_back(Tensor::full({1000}, -7, DType::float32, kGpu));
      }
      x.fill_(t);
      step.run();
      CHECK(result.to_vector<float>()[999] == static_cast<float>(3 * t + 1));
      for (const Tensor& other : others) {
        REQUIRE(other.to_vector<float>() == std::vector<float>(1000, -7.0F));
      }
    }
    trim_memory(kGpu);
    CHECK(memory_stats(kGpu).reserved <= held);
    step.run();  // trim has left it its memory
    CHECK(result.to_vector<float>()[0] == 28.0F);
    step.reset();
    CHECK_FALSE(step.recorded());
    CHECK(result.to_vector<float>()[0] == 28.0F);
    step.run();
    CHECK(result.to_vector<float>()[0] == 28.0F);
  }
  trim_memory(kGpu);
  CHECK(memory_stats(kGpu).in_use == before.in_use);
  CHECK(memory_stats(kGpu).reserved == before.reserved);
}

TEST_CASE("CapturedStep: a repetition raises the versions of what it writes") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor weight = Tensor::ones({2}, DType::float32, device).set_requires_grad();
    Sgd optimizer({{"weight", weight}}, {.learning_rate = 0.5});
    CapturedStep step(
        [&] {
          optimizer.zero_grad();
          sum(square(weight)).backward();
          optimizer.step();
        },
        device);
    for (int t = 0; t < 4; ++t) {
      const Tensor y = sum(square(weight));  // keeps the weights for backward
      step.run();
      CHECK(contains(message_of<AutogradError>([&] { y.backward(); }), "square"));
    }
  }
}

TEST_CASE("CapturedStep: what it forbids throws in any run, and nothing has happened") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor x = Tensor::ones({4}, DType::float32, device);
    const Tensor one = Tensor::ones({1}, DType::float32, device);
    const Tensor host = Tensor::ones({4});
    int calls = 0;
    int fail_in = 0;
    std::function<void()> offend;
    const auto message_in_run = [&](int run, std::function<void()> offence) {
      x.fill_(1);
      offend = std::move(offence);
      calls = 0;
      fail_in = run;
      CapturedStep step(
          [&] {
            x.copy_(x + 1.0);
            if (++calls == fail_in) {
              offend();
            }
          },
          device);
      for (int i = 1; i < run; ++i) {
        step.run();
      }
      std::string message = message_of<CaptureError>([&] { step.run(); });
      CHECK_FALSE(capture::active());
      if (device.is_cuda() && run == 2) {
        CHECK(x.to_vector<float>()[0] == 2.0F);  // the second step has not run
        CHECK_FALSE(step.recorded());
      }
      const float reached = x.to_vector<float>()[0];
      for (int i = 1; i <= 3; ++i) {  // usable again
        step.run();
        CHECK(x.to_vector<float>()[0] == reached + static_cast<float>(i));
      }
      return message;
    };
    for (const int run : {1, 2}) {
      CAPTURE(run);
      CHECK(contains(message_in_run(run, [&] { static_cast<void>(one.item()); }), "item:"));
      CHECK(contains(message_in_run(run, [&] { static_cast<void>(x.to_vector<float>()); }),
                     "to_vector:"));
      CHECK(contains(message_in_run(run,
                                    [&] {
                                      Tensor drawn = Tensor::empty({4}, DType::float32, device);
                                      fill_uniform(drawn, 0, 1, {});
                                    }),
                     "fill_uniform:"));
      if (device.is_cuda()) {
        CHECK(contains(message_in_run(run, [&] { x.copy_(host); }), "copy_:"));
        CHECK(contains(message_in_run(run, [&] { x.to(Device::cpu()); }), "to:"));
        CHECK(contains(message_in_run(run, [&] { host.clone(); }), "clone: a result on cpu"));
        CHECK(contains(message_in_run(run,
                                      [&] {
                                        Tensor::from_vector<float>({1, 2}, {2}, device);
                                      }),
                       "from_vector:"));
        CHECK(contains(message_in_run(run, [&] { synchronize(device); }), "synchronize:"));
      }
    }
    const std::string message = message_in_run(2, [&] { relu(x.slice(0, 3)); });
    CHECK(contains(message, "slice"));
    CHECK(contains(message, "[3]"));
  }
}

TEST_CASE("CapturedStep: an exception of the body's own while recording leaves it usable") {
  if (!has_gpu()) {
    return;
  }
  Training plain(kGpu, false);
  Training captured(kGpu, false);
  bool fail = false;
  CapturedStep step(
      [&] {
        captured.optimizer->zero_grad();
        captured.loss = captured.net.loss(captured.images, captured.labels);
        captured.loss.backward();
        if (fail) {
          throw Error("not now");
        }
        captured.optimizer->step(clip_grad_norm(captured.optimizer->parameters(), 1.0).factor);
      },
      kGpu);
  for (int t = 0; t < 6; ++t) {
    plain.load(t);
    captured.load(t);
    plain.body();
    if (t == 1) {
      const auto before = captured.net.values();
      fail = true;
      CHECK_THROWS_WITH_AS(step.run(), "not now", Error);
      fail = false;
      CHECK(captured.net.values() == before);
      CHECK_FALSE(step.recorded());
    }
    step.run();
    CHECK(captured.values() == plain.values());
  }
  CHECK(step.recorded());
}

TEST_CASE(
    "CapturedStep: gradients on a stream of the body's own start after what is queued there") {
  if (!has_gpu()) {
    return;
  }
  Training plain(kGpu, true);
  Training captured(kGpu, true);
  const Stream own(kGpu);
  CapturedStep step(
      [&] {
        captured.optimizer->zero_grad();
        own.wait_for(Stream::current(kGpu));
        {
          const StreamGuard guard(own);
          captured.loss = captured.net.loss(captured.images, captured.labels);
          captured.loss.backward();
        }
        Stream::current(kGpu).wait_for(own);
        captured.optimizer->step(clip_grad_norm(captured.optimizer->parameters(), 1.0).factor);
      },
      kGpu);
  for (int t = 0; t < 10; ++t) {
    plain.load(t);
    captured.load(t);
    plain.body();
    step.run();
    CHECK(captured.values() == plain.values());
  }
  CHECK(step.recorded());
}

TEST_CASE("out of memory in a step leaves parameters and optimiser, and a smaller batch follows") {
  for (const Device device : test_devices()) {
    for (const bool capture : {false, true}) {
      CAPTURE(device.to_string());
      CAPTURE(capture);
      Training training(device, true, 512);
      training.load(0);
      training.loss = Tensor::scalar(0, DType::float32, device);
      const auto before = training.values();
      trim_memory(device);
      CapturedStep step([&] { training.body(); }, device);
      LimitScope limit(memory_stats(device).in_use + 300'000, device);
      const std::string message = message_of<OutOfMemoryError>([&] {
        if (capture) {
          step.run();
        } else {
          training.body();
        }
      });
      CHECK(contains(message, "bytes asked for"));
      CHECK(contains(message, device.to_string()));
      CHECK(training.values() == before);
      training.images = training.images.slice(0, 4).clone();
      training.labels = training.labels.slice(0, 4).clone();
      for (int t = 0; t < 3; ++t) {
        if (capture) {
          CHECK_NOTHROW(step.run());
        } else {
          CHECK_NOTHROW(training.body());
        }
      }
      CHECK(training.optimizer->step_count() == 3);
      CHECK(training.values() != before);
    }
  }
}

TEST_CASE("CapturedStep: thousands of repetitions, and of recordings, take no more memory") {
  if (!has_gpu()) {
    return;
  }
  Training training(kGpu, true);
  training.load(0);
  CapturedStep step([&] { training.body(); }, kGpu);
  step.run();
  step.run();
  const MemoryStats first = memory_stats(kGpu);
  for (int t = 0; t < 2000; ++t) {
    step.run();
  }
  CHECK(memory_stats(kGpu).reserved == first.reserved);
  CHECK(memory_stats(kGpu).allocations == first.allocations);
  for (int t = 0; t < 3; ++t) {
    step.reset();
    step.run();
    step.run();
  }
  const std::int64_t reserved = memory_stats(kGpu).reserved;
  for (int t = 0; t < 20; ++t) {
    step.reset();
    step.run();
    step.run();
  }
  CHECK(memory_stats(kGpu).reserved <= reserved);
  CHECK(std::isfinite(training.loss.item()));
}

}  // namespace
}  // namespace cks
