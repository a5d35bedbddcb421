#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "cks/core/optim/optimizer.h"

namespace cks {

/// The learning rate after `step` steps, as a multiple of the optimiser's initial learning rate:
/// a pure function of step >= 0.
using LrFactor = std::function<double(std::int64_t step)>;

/// The momentum itself after `step` steps: a pure function of step >= 0.
using MomentumCurve = std::function<double(std::int64_t step)>;

/// Always 1.
LrFactor constant_lr();

/// gamma^floor(step / step_size), as StepLR. Throws Error unless step_size >= 1.
LrFactor step_lr(std::int64_t step_size, double gamma = 0.1);

/// gamma^(number of milestones that are <= step), as MultiStepLR.
/// Throws Error unless the milestones rise from above 0.
LrFactor multistep_lr(std::vector<std::int64_t> milestones, double gamma = 0.1);

/// From 1 down to `final_factor` along half a cosine in total_steps steps, as CosineAnnealingLR;
/// stays there. Throws Error unless total_steps >= 1.
LrFactor cosine_lr(std::int64_t total_steps, double final_factor = 0.0);

/// As OneCycleLR, the initial learning rate being its max_lr.
struct OneCycleOptions {
  std::int64_t total_steps = 0;
  double pct_start = 0.3;         // share of the steps in which the rate rises
  double div_factor = 25.0;       // the first rate is 1 / div_factor
  double final_div_factor = 1e4;  // the last is first / final_div_factor
  bool linear = false;            // straight lines instead of half cosines
};
/// Rises from 1/div_factor to 1 at step pct_start * total_steps - 1 and falls to
/// 1/(div_factor * final_div_factor) at step total_steps - 1; stays there.
/// Throws Error unless total_steps >= 1, 0 <= pct_start <= 1 and the divisors are above 0.
LrFactor one_cycle_lr(const OneCycleOptions& options);
/// The momentum beside it, which falls from `high` to `low` while the rate rises, and rises back to
/// `high`: OneCycleLR's cycle_momentum. Throws as one_cycle_lr(), and unless 0 <= low <= high.
MomentumCurve one_cycle_momentum(const OneCycleOptions& options, double low = 0.85,
                                 double high = 0.95);

/// A straight line from `start_factor` times the first value of `after` up to it in `steps` steps,
/// then `after` from its beginning. Throws Error unless steps >= 0 and start_factor is in [0, 1].
LrFactor with_warmup(std::int64_t steps, LrFactor after, double start_factor = 0.0);

/// Writes an optimiser's learning rate, and its momentum if that has a curve, when it is made and
/// after each step() that changes it.
///
///   LrSchedule schedule(optimizer, with_warmup(500, cosine_lr(10000)));
///   for (...) { ...; optimizer.step(); schedule.step(); }
class LrSchedule {
 public:
  /// The optimiser must outlive the schedule. Without `momentum` its own stays. Throws Error for an
  /// empty factor, and for a momentum where the optimiser has none.
  LrSchedule(Optimizer& optimizer, LrFactor factor, MomentumCurve momentum = {});

  void step();  // after optimizer.step(): writes the next step's rate
  /// The rate of the step to come, as written last.
  double learning_rate() const { return learning_rate_; }
  std::int64_t step_count() const { return step_; }
  /// Moves to a step, as a resumed run does, and writes its rate and momentum. Throws Error if it
  /// is negative.
  void set_step(std::int64_t step);

 private:
  Optimizer& optimizer_;
  LrFactor factor_;
  MomentumCurve momentum_;
  std::int64_t step_ = 0;
  double learning_rate_ = 0.0;
};

}  // namespace cks
