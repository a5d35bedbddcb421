#include "cks/core/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cks/core/tensor/check.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

void require_steps(const char* schedule, const char* option, std::int64_t steps,
                   std::int64_t lowest) {
  if (steps < lowest) {
    throw Error(formatted("{}: {} must be at least {}, got {}", schedule, option, lowest, steps));
  }
}

/// From `start` to `end` along half a cosine; share in [0, 1].
double anneal_cosine(double start, double end, double share) {
  return end + (start - end) / 2.0 * (1.0 + std::cos(std::numbers::pi * share));
}

double anneal_linear(double start, double end, double share) {
  return start + (end - start) * share;
}

void check_one_cycle(const OneCycleOptions& options) {
  require_steps("one_cycle_lr", "total_steps", options.total_steps, 1);
  ops::require_share("one_cycle_lr", "pct_start", options.pct_start);
  for (const double divisor : {options.div_factor, options.final_div_factor}) {
    if (!(std::isfinite(divisor) && divisor > 0.0)) {
      throw Error(formatted("one_cycle_lr: a divisor must be finite and above 0, got {}", divisor));
    }
  }
}

/// The cycle of a value from `first` to `top` to `last`, at a step.
double one_cycle_value(const OneCycleOptions& options, std::int64_t step, double first, double top,
                       double last) {
  const auto anneal = options.linear ? anneal_linear : anneal_cosine;
  const auto total = static_cast<double>(options.total_steps);
  const double peak = options.pct_start * total - 1.0;
  const auto now = static_cast<double>(step);
  if (now <= peak) {
    return peak == 0.0 ? top : anneal(first, top, now / peak);
  }
  const double falling = total - 1.0 - peak;
  return anneal(top, last, std::min((now - peak) / falling, 1.0));
}

}  // namespace

LrFactor constant_lr() {
  return [](std::int64_t) { return 1.0; };
}

LrFactor step_lr(std::int64_t step_size, double gamma) {
  require_steps("step_lr", "step_size", step_size, 1);
  optim::require_option("step_lr", "gamma", gamma);
  return [=](std::int64_t step) {
    const std::int64_t drops = step / step_size;
    return std::pow(gamma, static_cast<double>(drops));
  };
}

LrFactor multistep_lr(std::vector<std::int64_t> milestones, double gamma) {
  optim::require_option("multistep_lr", "gamma", gamma);
  std::int64_t before = 0;
  for (const std::int64_t milestone : milestones) {
    if (milestone <= before) {
      throw Error(formatted("multistep_lr: the milestones must rise from above 0, got {} after {}",
                            milestone, before));
    }
    before = milestone;
  }
  return [milestones = std::move(milestones), gamma](std::int64_t step) {
    const auto passed = std::upper_bound(milestones.begin(), milestones.end(), step);
    return std::pow(gamma, static_cast<double>(passed - milestones.begin()));
  };
}

LrFactor cosine_lr(std::int64_t total_steps, double final_factor) {
  require_steps("cosine_lr", "total_steps", total_steps, 1);
  optim::require_option("cosine_lr", "final_factor", final_factor);
  return [=](std::int64_t step) {
    const double share = static_cast<double>(step) / static_cast<double>(total_steps);
    return anneal_cosine(1.0, final_factor, std::min(share, 1.0));
  };
}

LrFactor one_cycle_lr(const OneCycleOptions& options) {
  check_one_cycle(options);
  const double first = 1.0 / options.div_factor;
  const double last = first / options.final_div_factor;
  return [=](std::int64_t step) { return one_cycle_value(options, step, first, 1.0, last); };
}

MomentumCurve one_cycle_momentum(const OneCycleOptions& options, double low, double high) {
  check_one_cycle(options);
  if (!(low >= 0.0 && low <= high && std::isfinite(high))) {
    throw Error(formatted(
        "one_cycle_momentum: low and high must be finite with 0 <= low <= high, got {} and {}", low,
        high));
  }
  return [=](std::int64_t step) { return one_cycle_value(options, step, high, low, high); };
}

LrFactor with_warmup(std::int64_t steps, LrFactor after, double start_factor) {
  require_steps("with_warmup", "steps", steps, 0);
  ops::require_share("with_warmup", "start_factor", start_factor);
  if (!after) {
    throw Error("with_warmup: the schedule after it is empty");
  }
  return [steps, after = std::move(after), start_factor](std::int64_t step) {
    if (step >= steps) {
      return after(step - steps);
    }
    const double share = static_cast<double>(step) / static_cast<double>(steps);
    return after(0) * anneal_linear(start_factor, 1.0, share);
  };
}

LrSchedule::LrSchedule(Optimizer& optimizer, LrFactor factor, MomentumCurve momentum)
    : optimizer_(optimizer), factor_(std::move(factor)), momentum_(std::move(momentum)) {
  if (!factor_) {
    throw Error("LrSchedule: the factor is empty");
  }
  set_step(0);
}

void LrSchedule::step() {
  // On a GPU a rate that stays is a launch less.
  if (momentum_ || optimizer_.initial_learning_rate() * factor_(step_ + 1) != learning_rate_) {
    set_step(step_ + 1);
  } else {
    ++step_;
  }
}

void LrSchedule::set_step(std::int64_t step) {
  require_steps("LrSchedule", "step", step, 0);
  const double learning_rate = optimizer_.initial_learning_rate() * factor_(step);
  optimizer_.set_learning_rate(learning_rate);
  if (momentum_) {
    optimizer_.set_momentum(momentum_(step));
  }
  learning_rate_ = learning_rate;
  step_ = step;
}

}  // namespace cks
