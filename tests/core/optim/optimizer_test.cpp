#include "cks/core/optim/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "cks/core/capture/capture.h"
#include "cks/core/ops/elementwise.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/optim/adam.h"
#include "cks/core/optim/sgd.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::contains;
using testing::doubles;
using testing::message_of;
using testing::random_real;
using testing::random_tensor;
using testing::test_devices;

constexpr int kSteps = 5;

/// Two parameters, one of them frozen in the second step.
struct Problem {
  Tensor weight;
  Tensor bias;

  explicit Problem(DType dtype, Device device = {}) {
    weight = random_tensor({3, 4}, 1, dtype).to(device).set_requires_grad();
    bias = random_tensor({4}, 2, dtype).to(device).set_requires_grad();
  }
  NamedTensors parameters() const { return {{"weight", weight}, {"bias", bias}}; }

  /// Gradients of step t: random numbers; none for the bias in step 2.
  void set_gradients(int t) {
    const auto seed = static_cast<std::uint64_t>(10 * t);
    weight.set_grad(random_tensor({3, 4}, seed, weight.dtype()).to(weight.device()));
    if (t == 2) {
      bias.zero_grad();
    } else {
      bias.set_grad(random_tensor({4}, seed + 1, bias.dtype()).to(bias.device()));
    }
  }
};

/// What a parameter should be after kSteps, by formulas on plain numbers: update(p, g, t) once for
/// each gradient, t counting the parameter's own steps.
template <class MakeUpdate>
Tensor by_hand(const Shape& shape, std::uint64_t seed, std::uint64_t grad_offset, bool frozen_once,
               MakeUpdate&& make_update) {
  std::vector<double> values;
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.numel()); ++i) {
    double p = random_real(seed, i);
    auto update = make_update();
    int own_step = 0;
    for (int t = 1; t <= kSteps; ++t) {
      if (!(frozen_once && t == 2)) {
        const auto grad_seed = static_cast<std::uint64_t>(10 * t) + grad_offset;
        update(p, random_real(grad_seed, i), ++own_step);
      }
    }
    values.push_back(p);
  }
  return Tensor::from_vector(values, shape);
}

/// Runs kSteps with an optimiser and compares with the formulas, in both dtypes.
template <class MakeOptimizer, class MakeUpdate>
void check(MakeOptimizer&& make_optimizer, MakeUpdate&& make_update) {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const DType dtype : {DType::float64, DType::float32}) {
      Problem problem(dtype, device);
      const auto optimizer = make_optimizer(problem.parameters());
      for (int t = 1; t <= kSteps; ++t) {
        optimizer->zero_grad();
        problem.set_gradients(t);
        optimizer->step();
      }
      CHECK(optimizer->step_count() == kSteps);
      const double tolerance = dtype == DType::float64 ? 1e-14 : 5e-6;
      const auto weight = compare(problem.weight.to(DType::float64),
                                  by_hand({3, 4}, 1, 0, false, make_update), {tolerance});
      CHECK_MESSAGE(weight.ok, weight.message);
      const auto bias = compare(problem.bias.to(DType::float64),
                                by_hand({4}, 2, 1, true, make_update), {tolerance});
      CHECK_MESSAGE(bias.ok, bias.message);
    }
  }
}

TEST_CASE("Sgd: plain, with momentum and weight decay, and Nesterov's") {
  check([](NamedTensors p) { return std::make_unique<Sgd>(p, Sgd::Options{.learning_rate = 0.1}); },
        [] { return [](double& p, double g, int) { p -= 0.1 * g; }; });
  for (const bool nesterov : {false, true}) {
    const Sgd::Options options{
        .learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.02, .nesterov = nesterov};
    check([&](NamedTensors p) { return std::make_unique<Sgd>(p, options); },
          [=] {
            return [=, b = 0.0](double& p, double g, int) mutable {
              g += 0.02 * p;
              b = 0.9 * b + g;
              p -= 0.05 * (nesterov ? g + 0.9 * b : b);
            };
          });
  }
}

TEST_CASE("Sgd: a momentum that moves is that of the steps to come") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor p = Tensor::zeros({1}, DType::float64, device).set_requires_grad();
    Sgd optimizer({{"p", p}}, {.learning_rate = 1.0, .momentum = 0.5});
    double buffer = 0.0;
    double wanted = 0.0;
    for (const double momentum : {0.5, 0.25, 0.0, 0.75}) {
      optimizer.set_momentum(momentum);
      CHECK(optimizer.momentum() == momentum);
      optimizer.zero_grad();
      (p * 2.0).backward();
      optimizer.step();
      // Without momentum the buffer stays as it is.
      buffer = momentum == 0.0 ? buffer : momentum * buffer + 2.0;
      wanted -= momentum == 0.0 ? 2.0 : buffer;
      CHECK(p.detach().to(Device::cpu()).item() == doctest::Approx(wanted));
    }
    CHECK_THROWS_AS(optimizer.set_momentum(-0.1), Error);
    CHECK(optimizer.momentum() == 0.75);
  }
}

TEST_CASE("Adam, AdamW: each parameter counts its own steps") {
  for (const bool decoupled : {false, true}) {
    check(
        [&](NamedTensors p) -> std::unique_ptr<Optimizer> {
          if (decoupled) {
            return std::make_unique<AdamW>(p, AdamW::Options{.learning_rate = 0.01});
          }
          return std::make_unique<Adam>(p,
                                        Adam::Options{.learning_rate = 0.01, .weight_decay = 0.01});
        },
        [=] {
          return [=, m = 0.0, v = 0.0](double& p, double g, int t) mutable {
            if (decoupled) {
              p -= 0.01 * 0.01 * p;
            } else {
              g += 0.01 * p;
            }
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            const double m_hat = m / (1.0 - std::pow(0.9, t));
            const double v_hat = v / (1.0 - std::pow(0.999, t));
            p -= 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8);
          };
        });
  }
}

TEST_CASE("Optimizer: groups scale the learning rate and the weight decay") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor a = Tensor::full({1}, 1.0, DType::float64, device).set_requires_grad();
    Tensor b = Tensor::full({1}, 1.0, DType::float64, device).set_requires_grad();
    const std::vector<ParameterGroup> groups{{{{"a", a}}, 0.5, 1.0}, {{{"b", b}}, 1.0, 0.0}};
    Sgd optimizer(groups, {.learning_rate = 0.1, .weight_decay = 0.2});
    a.set_grad(Tensor::full({1}, 3.0, DType::float64, device));
    b.set_grad(Tensor::full({1}, 3.0, DType::float64, device));
    optimizer.step();
    CHECK(a.item() == doctest::Approx(1.0 - 0.05 * 3.2));
    CHECK(b.item() == doctest::Approx(1.0 - 0.1 * 3.0));
    CHECK(optimizer.parameters().size() == 2);
  }
}

TEST_CASE("Optimizer: a factor scales the gradients on the way and leaves them alone") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor p = Tensor::full({1}, 1.0, DType::float64, device).set_requires_grad();
    Sgd optimizer({{"p", p}}, {.learning_rate = 0.1});
    p.set_grad(Tensor::full({1}, 4.0, DType::float64, device));
    const std::uint64_t version = p.version();
    optimizer.step(Tensor::scalar(0.25, DType::float64, device));
    CHECK(p.item() == doctest::Approx(0.9));
    CHECK(p.grad().item() == 4.0);
    CHECK(p.version() > version);
  }
}

TEST_CASE("Optimizer: the learning rate is read from its tensor at each step") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Tensor p = Tensor::full({1}, 1.0, DType::float64, device).set_requires_grad();
    Sgd optimizer({{"p", p}}, {.learning_rate = 0.1});
    CapturedStep step(
        [&] {
          optimizer.zero_grad();
          sum(p * 2.0).backward();
          optimizer.step();
        },
        device);
    step.run();
    CHECK(p.item() == doctest::Approx(0.8));
    optimizer.set_learning_rate(0.2);
    step.run();
    CHECK(p.item() == doctest::Approx(0.4));
    CHECK(optimizer.learning_rate() == 0.2);
    CHECK(optimizer.initial_learning_rate() == 0.1);
    CHECK(optimizer.step_count() == 2);
    CapturedStep counting([&] { static_cast<void>(optimizer.step_count()); }, device);
    CHECK(message_of<CaptureError>([&] { counting.run(); }).starts_with("step_count:"));
    CHECK_THROWS_AS(optimizer.set_learning_rate(-1.0), Error);
    CHECK_THROWS_AS(optimizer.set_learning_rate(std::numeric_limits<double>::quiet_NaN()), Error);
  }
}

TEST_CASE("Optimizer: more parameters than one launch takes, of both dtypes") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    NamedTensors parameters;
    for (std::int64_t i = 0; i < 60; ++i) {
      const DType dtype = i % 7 == 0 ? DType::float64 : DType::float32;
      const Tensor p = Tensor::full({i % 11 + 1}, 2.0, dtype, device).set_requires_grad();
      parameters.emplace_back("p" + std::to_string(i), p);
      if (i % 5 != 0) {  // the others have no gradient and stay
        parameters.back().second.set_grad(Tensor::full({i % 11 + 1}, 4.0, dtype, device));
      }
    }
    Adam optimizer(parameters, {.learning_rate = 0.5});
    optimizer.step();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      for (const double value : doubles(parameters[i].second)) {
        CHECK(value == doctest::Approx(i % 5 != 0 ? 1.5 : 2.0).epsilon(1e-6));
      }
      const Tensor step = optimizer.state()[2 + 2 * parameters.size() + i].second;
      CHECK(step.item() == (i % 5 != 0 ? 1.0 : 0.0));
    }
    CHECK(optimizer.step_count() == 1);
  }
}

TEST_CASE("Optimizer: state goes out and in, and the run continues bit for bit") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    const auto steps = [](Problem& problem, Optimizer& optimizer, int from, int to) {
      for (int t = from; t <= to; ++t) {
        problem.set_gradients(t);
        optimizer.step();
      }
    };
    Problem whole(DType::float32, device);
    Adam uninterrupted(whole.parameters());
    steps(whole, uninterrupted, 1, 2);
    NamedTensors saved = uninterrupted.state();

    Problem resumed(DType::float32, device);
    resumed.weight.set_data(whole.weight.clone());
    resumed.bias.set_data(whole.bias.clone());
    Adam other(resumed.parameters(), {.learning_rate = 0.5});
    std::swap(saved.front(), saved.back());  // the order does not matter
    other.load_state(saved);
    CHECK(other.learning_rate() == 1e-3);
    CHECK(other.step_count() == 2);

    steps(whole, uninterrupted, 3, kSteps);
    steps(resumed, other, 3, kSteps);
    CHECK(resumed.weight.to_vector<float>() == whole.weight.to_vector<float>());
    CHECK(resumed.bias.to_vector<float>() == whole.bias.to_vector<float>());
    CHECK(doubles(saved[2].second) != doubles(uninterrupted.state()[2].second));  // copies
  }
}

TEST_CASE("Optimizer: a state that does not fit changes nothing and is listed whole") {
  Problem problem(DType::float64);
  Sgd optimizer(problem.parameters(), {.learning_rate = 0.1, .momentum = 0.9});
  NamedTensors state = optimizer.state();
  CHECK(state.size() == 4);
  state[0].second.fill_(0.7);
  state[1].first = "steps";
  state[2].second = Tensor::ones({4, 3}, DType::float64);
  const std::string message = message_of<Error>([&] { optimizer.load_state(state); });
  CHECK(message ==
        "sgd: the state does not fit the parameters:\n  missing: step []\n  mis-shaped: "
        "momentum_buffer.weight is [4,3] float64, expected [3,4] float64\n  unexpected: steps");
  CHECK(optimizer.learning_rate() == 0.1);
  NamedTensors negative = optimizer.state();
  negative[1].second.fill_(-3.0);
  CHECK(message_of<Error>([&] { optimizer.load_state(negative); }) ==
        "sgd: the state's step is negative");
}

TEST_CASE("Optimizer: a step that is refused leaves everything as it was") {
  Problem problem(DType::float64);
  Adam optimizer(problem.parameters());
  problem.set_gradients(1);
  optimizer.step();
  const auto weight = doubles(problem.weight);
  const NamedTensors before = optimizer.state();
  const auto unchanged = [&] {
    CHECK(doubles(problem.weight) == weight);
    const NamedTensors after = optimizer.state();
    for (std::size_t i = 0; i < after.size(); ++i) {
      CHECK(doubles(after[i].second) == doubles(before[i].second));
    }
  };
  problem.set_gradients(3);
  // The second parameter does not fit; the first must not have moved.
  problem.bias.set_data(random_tensor({5}, 4));
  CHECK(message_of<ShapeError>([&] { optimizer.step(); }) ==
        "adam: the value of parameter bias is [5] float64 on cpu, expected [4] float64 on cpu");
  unchanged();
  problem.bias.set_data(random_tensor({4}, 4, DType::float32));
  CHECK_THROWS_AS(optimizer.step(), DtypeError);
  unchanged();
  problem.bias.set_data(random_tensor({4}, 4));
  CHECK_THROWS_AS(optimizer.step(Tensor::scalar(1.0)), DtypeError);
  CHECK_THROWS_AS(optimizer.step(Tensor::ones({2}, DType::float64)), ShapeError);
  CHECK(message_of<DtypeError>([&] {
          optimizer.step({}, Tensor::scalar(1.0));
        }).starts_with("adam: skip "));
  CHECK_THROWS_AS(optimizer.step({}, Tensor::ones({2}, DType::uint8)), ShapeError);
  unchanged();
  CapturedStep asks([&] { optimizer.step_count(); });
  // The count would be that of the first run.
  CHECK(message_of<CaptureError>([&] { asks.run(); }).starts_with("step_count: "));
}

TEST_CASE("Optimizer: constructors refuse what cannot be stepped") {
  Tensor p = Tensor::ones({2}).set_requires_grad();
  CHECK(message_of<Error>([&] {
          Sgd({{"p", p}}, {.learning_rate = -1.0});
        }) == "sgd: learning_rate must be finite, at least 0, got -1");
  CHECK(message_of<Error>([&] {
          Adam({{"p", p}}, {.beta1 = 1.0});
        }) == "adam: beta1 must be finite, at least 0 and below 1, got 1");
  CHECK(message_of<Error>([&] {
          Adam({{"p", p}}, {.beta2 = 1.0});  // its correction would divide by zero
        }) == "adam: beta2 must be finite, at least 0 and below 1, got 1");
  CHECK(message_of<Error>([&] {
          AdamW({{"p", p}}, {.eps = -1e-8});
        }) == "adamw: eps must be finite, at least 0, got -1e-08");
  CHECK(message_of<Error>([&] {
          AdamW({{"p", p}}, {.weight_decay = -0.1});
        }) == "adamw: weight_decay must be finite, at least 0, got -0.1");
  CHECK(message_of<Error>([&] {
          Sgd({{"p", p}}, {.nesterov = true});
        }) == "sgd: nesterov needs a momentum above 0");
  CHECK(message_of<Error>([&] {
          Sgd({{"p", p}}, {}).set_momentum(0.9);
        }) == "sgd: there is no momentum to set");
  CHECK(message_of<Error>([&] {
          Adam({{"p", p}}, {}).set_momentum(0.9);
        }) == "adam: there is no momentum to set");
  CHECK(message_of<Error>([&] {
          Adam({{"p", p}, {"p", Tensor::ones({2})}});
        }) == "adam: two parameters are named p");
  CHECK(message_of<Error>([&] {
          Adam({{"p", p}, {"q", p}});
        }) == "adam: parameter q is given twice");
  CHECK(message_of<Error>([] { Adam(NamedTensors{}); }) == "adam: there are no parameters");
  CHECK_THROWS_AS(Adam({{"p", Tensor()}}), Error);
  CHECK_THROWS_AS(Adam({{"p", Tensor::ones({2}, DType::int64)}}), DtypeError);
}

}  // namespace
}  // namespace cks
