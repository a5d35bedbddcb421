#include "cks/core/optim/weight_average.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include "cks/core/autograd/autograd.h"
#include "cks/core/capture/capture.h"
#include "tests/core/test_ops.h"
#include "tests/support/devices.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using namespace testing;

/// Two weights of different dtypes and a count, which no average can be taken of.
struct Weights {
  NamedTensors named;
  explicit Weights(Device device = {}) {
    named = {{"a", random_tensor({3, 4}, 1, DType::float32).to(device)},
             {"b", random_tensor({5}, 2).to(device)},
             {"count", Tensor::zeros({}, DType::int64, device)}};
    named[0].second.set_requires_grad();
  }
  /// What an optimiser would do in step t.
  void move(std::uint64_t t) {
    const NoGradGuard no_grad;
    for (std::size_t i = 0; i < 2; ++i) {
      Tensor& w = named[i].second;
      w.copy_(random_tensor(w.shape(), 10 * t + i, w.dtype()));
    }
    named[2].second.fill_(static_cast<double>(t));
  }
  std::vector<double> values(std::size_t i) const { return doubles(named[i].second); }
};

std::vector<double> average_of(const WeightAverage& average, const std::string& name) {
  for (const auto& [key, tensor] : average.state()) {
    if (key == name) {
      return doubles(tensor);
    }
  }
  return {};
}

TEST_CASE("WeightAverage: an EMA beside the weights, once in so many steps") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Weights weights(device);
    WeightAverage average(weights.named, {.decay = 0.75, .every = 2});
    std::vector<double> wanted;
    for (std::uint64_t t = 1; t <= 7; ++t) {
      weights.move(t);
      const std::vector<double> now = weights.values(1);
      average.step();
      CHECK(weights.values(1) == now);  // an EMA leaves them alone
      if (t == 2) {
        wanted = now;
      } else if (t % 2 == 0) {
        for (std::size_t e = 0; e < now.size(); ++e) {
          wanted[e] = 0.75 * wanted[e] + 0.25 * now[e];
        }
      }
      if (t >= 2) {
        const auto same = compare(Tensor::from_vector(average_of(average, "b"), {5}),
                                  Tensor::from_vector(wanted, {5}), {1e-14});
        CHECK_MESSAGE(same.ok, same.message);
      }
    }
    CHECK(average.step_count() == 7);
    CHECK(average_of(average, "count").empty());
  }
}

TEST_CASE("WeightAverage: look-ahead puts the weights onto an average that begins with the first") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Weights weights(device);
    std::vector<double> slow = weights.values(0);
    WeightAverage average(weights.named, {.decay = 0.5, .every = 3, .look_ahead = true});
    for (std::uint64_t t = 1; t <= 6; ++t) {
      weights.move(t);
      const std::vector<double> fast = weights.values(0);
      const double decay = t <= 3 ? 0.5 : 0.9;
      average.set_decay(decay);
      average.step();
      if (t % 3 != 0) {
        CHECK(weights.values(0) == fast);
        continue;
      }
      for (std::size_t e = 0; e < slow.size(); ++e) {
        slow[e] = decay * slow[e] + (1.0 - decay) * fast[e];
      }
      const auto same = compare(weights.named[0].second, Tensor::from_vector(slow, {3, 4}), {1e-6});
      CHECK_MESSAGE(same.ok, same.message);
      CHECK(average_of(average, "a") != fast);
    }
  }
}

TEST_CASE("WeightAverage: the averages stand in for the weights while a function runs") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    Weights weights(device);
    WeightAverage average(weights.named, {.decay = 0.5});
    for (std::uint64_t t = 1; t <= 3; ++t) {
      weights.move(t);
      average.step();
    }
    const auto both = [&] { return std::pair(weights.values(0), weights.values(1)); };
    const auto before = both();
    const std::pair mean(average_of(average, "a"), average_of(average, "b"));
    CHECK(mean.first != before.first);
    CHECK(mean.second != before.second);
    average.with_averages([&] { CHECK((both() == mean)); });
    CHECK((both() == before));
    CHECK_THROWS_AS(average.with_averages([] { throw Error("no"); }), Error);
    CHECK((both() == before));
    CHECK(weights.values(2) == std::vector<double>{3.0});
    average.keep_averages();
    CHECK((both() == mean));
  }
}

TEST_CASE("WeightAverage: goes on from its state bit for bit, and stays where a step is skipped") {
  for (const Device device : test_devices()) {
    CAPTURE(device.to_string());
    for (const bool look_ahead : {false, true}) {
      const WeightAverageOptions options{.decay = 0.9, .every = 2, .look_ahead = look_ahead};
      Weights whole(device);
      WeightAverage uninterrupted(whole.named, options);
      Weights resumed(device);
      WeightAverage other(resumed.named, options);
      for (std::uint64_t t = 1; t <= 3; ++t) {
        whole.move(t);
        uninterrupted.step();
      }
      other.load_state(uninterrupted.state());
      for (std::uint64_t t = 4; t <= 8; ++t) {
        whole.move(t);
        uninterrupted.step(Tensor::zeros({}, DType::uint8, device));
        resumed.move(t);
        other.step();
        CHECK(average_of(other, "a") == average_of(uninterrupted, "a"));
        CHECK(average_of(other, "b") == average_of(uninterrupted, "b"));
        CHECK(resumed.values(0) == whole.values(0));
      }
      resumed.move(20);
      other.step();  // the ninth: nothing is due
      const std::vector<double> mean = average_of(other, "a");
      const std::vector<double> now = resumed.values(0);
      other.step(Tensor::ones({}, DType::uint8, device));
      CHECK(average_of(other, "a") == mean);
      CHECK(resumed.values(0) == now);
    }
  }
}

TEST_CASE("WeightAverage: refuses what it cannot average, in words") {
  Weights weights;
  const auto error = [&](const WeightAverageOptions& options) {
    return message_of<Error>([&] { WeightAverage(weights.named, options); });
  };
  CHECK(error({.decay = 1.0}) ==
        "weight average: decay must be finite, at least 0 and below 1, got 1");
  CHECK(error({.every = 0}) == "weight average: every is 0, must be at least 1");
  CHECK(message_of<Error>([] { WeightAverage({}, {}); }) ==
        "weight average: there are no weights of floating numbers");
  WeightAverage average(weights.named, {});
  CHECK_THROWS_AS(average.set_decay(std::nan("")), Error);
  CHECK_THROWS_AS(average.step(Tensor::zeros({})), DtypeError);
  CapturedStep step([&] { average.step(); });
  CHECK_THROWS_AS(step.run(), CaptureError);
  NamedTensors state = average.state();
  state[1].second = Tensor::zeros({6}, DType::float64);
  CHECK(message_of<Error>([&] { average.load_state(state); }) ==
        "weight average: the state does not fit the weights:\n  mis-shaped: b is [6] float64, "
        "expected [5] float64");
  state = average.state();
  state.back().second.fill_(-1.0);
  CHECK(message_of<Error>([&] { average.load_state(state); }) ==
        "weight average: the state's steps is negative");
  weights.named[1].second.set_data(Tensor::zeros({6}, DType::float64));
  CHECK(message_of<ShapeError>([&] { average.step(); }) ==
        "weight average: b is [6] float64 on cpu, expected [5] float64 on cpu");
  Weights others;
  WeightAverage of_others(others.named, {});
  others.named[0].second.set_data(Tensor::zeros({2, 4}));  // the kernel would read behind its end
  CHECK(message_of<ShapeError>([&] { of_others.step(); }) ==
        "weight average: a is [2,4] float32 on cpu, expected [3,4] float32 on cpu");
}

}  // namespace
}  // namespace cks
