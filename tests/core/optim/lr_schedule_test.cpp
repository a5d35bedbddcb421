#include "cks/core/optim/lr_schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "cks/core/optim/sgd.h"
#include "tests/support/tensors.h"

namespace cks {
namespace {

using testing::compare;
using testing::message_of;

std::vector<double> first(const LrFactor& factor, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t step = 0; step < count; ++step) {
    values.push_back(factor(step));
  }
  return values;
}

void check(const LrFactor& factor, const std::vector<double>& expected) {
  const auto result =
      compare(first(factor, static_cast<std::int64_t>(expected.size())), expected, {1e-15});
  CHECK_MESSAGE(result.ok, result.message);
}

// The lists are the rates of torch.optim.lr_scheduler's classes for an initial rate of 1.

TEST_CASE("constant_lr, step_lr, multistep_lr") {
  check(constant_lr(), {1, 1, 1});
  check(step_lr(2, 0.1), {1, 1, 0.1, 0.1, 0.01, 0.01, 0.001});
  check(multistep_lr({2, 5}, 0.5), {1, 1, 0.5, 0.5, 0.5, 0.25, 0.25});
}

TEST_CASE("cosine_lr") {
  check(cosine_lr(6, 0.1), {1.0, 0.9397114317029974, 0.775, 0.55, 0.3250000000000002,
                            0.1602885682970026, 0.1, 0.1, 0.1});  // then it stays
}

TEST_CASE("one_cycle_lr") {
  check(
      one_cycle_lr({.total_steps = 10}),
      {0.040000000000000036, 0.52, 1.0, 0.9504846320134737, 0.8117456539497631, 0.6112620219362893,
       0.38874197806371075, 0.18825834605023697, 0.049519367986526286, 4e-06});
  check(one_cycle_lr({.total_steps = 8,
                      .pct_start = 0.5,
                      .div_factor = 10,
                      .final_div_factor = 100,
                      .linear = true}),
        {0.1, 0.4, 0.7, 1.0, 0.75025, 0.5005, 0.25075000000000003, 0.0010000000000000009});
  check(one_cycle_lr({.total_steps = 4,
                      .pct_start = 1.0,  // it rises to the last step
                      .div_factor = 10,
                      .final_div_factor = 100,
                      .linear = true}),
        {0.1, 0.4, 0.7, 1.0, 0.001});
  const LrFactor factor = one_cycle_lr({.total_steps = 10});
  CHECK(factor(10) == factor(9));
  CHECK(factor(1000) == factor(9));
  CHECK(one_cycle_lr({.total_steps = 1})(0) == 1.0 / 25.0 / 1e4);
}

TEST_CASE("one_cycle_momentum: falls while the rate rises, and rises back") {
  check(one_cycle_momentum({.total_steps = 10}),
        {0.95, 0.9, 0.85, 0.8549515566048789, 0.8688255099070633, 0.888873953302184,
         0.911126046697816, 0.9311744900929367, 0.9450484433951210, 0.95, 0.95});
  check(one_cycle_momentum({.total_steps = 8, .pct_start = 0.5, .linear = true}, 0.5, 0.8),
        {0.8, 0.7, 0.6, 0.5, 0.575, 0.65, 0.725, 0.8});
  check(one_cycle_momentum({.total_steps = 8, .pct_start = 0.5, .linear = true}, 0.0, 0.6),
        {0.6, 0.4, 0.2, 0.0, 0.15, 0.3, 0.45, 0.6});  // a cycle may pass through no momentum
  CHECK(message_of<Error>([] { one_cycle_momentum({.total_steps = 8}, 0.9, 0.8); }) ==
        "one_cycle_momentum: low and high must be finite with 0 <= low <= high, got 0.9 "
        "and 0.8");
  CHECK_THROWS_AS(one_cycle_momentum({}), Error);
}

TEST_CASE("LrSchedule: moves the momentum beside the rate, and a resumed one writes it again") {
  Tensor p = Tensor::ones({1}).set_requires_grad();
  Sgd optimizer({{"p", p}}, {.learning_rate = 0.4, .momentum = 0.9});
  const OneCycleOptions cycle{.total_steps = 8, .pct_start = 0.5, .linear = true};
  LrSchedule schedule(optimizer, constant_lr(), one_cycle_momentum(cycle, 0.5, 0.8));
  for (const double momentum : {0.8, 0.7, 0.6, 0.5, 0.575}) {
    CHECK(optimizer.momentum() == doctest::Approx(momentum));
    schedule.step();
  }
  schedule.set_step(2);
  CHECK(optimizer.momentum() == doctest::Approx(0.6));
  Sgd plain({{"p", p}}, {.learning_rate = 0.4});
  CHECK(message_of<Error>([&] { LrSchedule(plain, constant_lr(), one_cycle_momentum(cycle)); }) ==
        "sgd: there is no momentum to set");
}

TEST_CASE("with_warmup: a line up to the schedule's first rate, then the schedule") {
  check(with_warmup(4, step_lr(2, 0.5)), {0, 0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25});
  check(with_warmup(2, constant_lr(), 0.5), {0.5, 0.75, 1, 1});
  check(with_warmup(0, constant_lr()), {1, 1});
}

TEST_CASE("LrSchedule: writes the rate when made and after each step, and resumes") {
  Tensor p = Tensor::ones({1}).set_requires_grad();
  Sgd optimizer({{"p", p}}, {.learning_rate = 0.4});
  LrSchedule schedule(optimizer, with_warmup(2, step_lr(1, 0.5)));
  CHECK(optimizer.learning_rate() == 0.0);
  schedule.step();
  CHECK(optimizer.learning_rate() == doctest::Approx(0.2));
  schedule.step();
  CHECK(optimizer.learning_rate() == doctest::Approx(0.4));
  schedule.step();
  CHECK(optimizer.learning_rate() == doctest::Approx(0.2));

  Sgd other({{"p", p}}, {.learning_rate = 0.4});
  other.load_state(optimizer.state());
  LrSchedule resumed(other, with_warmup(2, step_lr(1, 0.5)));
  resumed.set_step(schedule.step_count());
  CHECK(resumed.step_count() == 3);
  CHECK(other.learning_rate() == optimizer.learning_rate());
  CHECK_THROWS_AS(resumed.set_step(-1), Error);
  CHECK(resumed.step_count() == 3);
}

TEST_CASE("LrSchedule: knows its rate without asking the device, and writes it where it changes") {
  Tensor p = Tensor::ones({1}).set_requires_grad();
  Sgd optimizer({{"p", p}}, {.learning_rate = 0.4});
  LrSchedule schedule(optimizer, step_lr(2, 0.5));
  const std::uint64_t written = optimizer.learning_rate_tensor().version();
  for (const double rate : {0.4, 0.4, 0.2, 0.2, 0.1}) {
    CHECK(schedule.learning_rate() == doctest::Approx(rate));
    CHECK(schedule.learning_rate() == optimizer.learning_rate());
    schedule.step();
  }
  CHECK(schedule.step_count() == 5);
  CHECK(optimizer.learning_rate_tensor().version() == written + 2);
  optimizer.set_learning_rate(1.0);  // as a state that was loaded
  schedule.set_step(2);
  CHECK(optimizer.learning_rate() == doctest::Approx(0.2));
}

TEST_CASE("schedules refuse options that make no sense") {
  CHECK(message_of<Error>([] { step_lr(0); }) == "step_lr: step_size must be at least 1, got 0");
  CHECK(message_of<Error>([] {
          multistep_lr({3, 3});
        }) == "multistep_lr: the milestones must rise from above 0, got 3 after 3");
  CHECK_THROWS_AS(cosine_lr(0), Error);
  CHECK_THROWS_AS(one_cycle_lr({}), Error);
  CHECK_THROWS_AS(one_cycle_lr({.total_steps = 5, .pct_start = 1.2}), Error);
  CHECK_THROWS_AS(one_cycle_lr({.total_steps = 5, .div_factor = 0}), Error);
  CHECK_THROWS_AS(with_warmup(-1, constant_lr()), Error);
  CHECK_THROWS_AS(with_warmup(2, LrFactor{}), Error);
  Tensor p = Tensor::ones({1}).set_requires_grad();
  Sgd optimizer({{"p", p}}, {});
  CHECK_THROWS_AS(LrSchedule(optimizer, LrFactor{}), Error);
}

}  // namespace
}  // namespace cks
