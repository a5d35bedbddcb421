#pragma once
#include <cstdint>
#include <functional>

#include "cks/core/tensor/tensor.h"

namespace cks {

struct WeightAverageOptions {
  double decay = 0.999;    // what stays of the average at an update; in [0, 1)
  std::int64_t every = 1;  // steps from one update to the next
  /// At each update the weights become the average, from which the next steps start.
  bool look_ahead = false;

  friend bool operator==(const WeightAverageOptions&, const WeightAverageOptions&) = default;
};

/// An average of the weights along the way, which is better than the last of them: noise of single
/// steps falls out of it. Either an exponential moving average (EMA) beside the weights, or
/// look-ahead, where the weights run ahead of the average and are put back onto it.
///
///   average = decay * average + (1 - decay) * weights;  look_ahead: weights = average
///
/// once for every `every` steps. The first update of an EMA copies the weights; look-ahead's
/// average begins with those that it is made with.
///
///   NamedTensors weights = net.named_parameters();  // and named_buffers()
///   WeightAverage average(weights, {.decay = 0.99});
///   for (...) { ...; optimizer.step(); average.step(); }
///   average.with_averages([&] { accuracy = evaluate(net, test_loader).accuracy; });
///
/// Look-ahead wants a decay such as 0.5 and `every` such as 5, or, in short runs, a decay that
/// rises to 1 (set_decay).
///
/// Dtype   averages have the weights'; weights of integers are left alone, and out of state().
/// Source  Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992);
///         Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", arXiv 1907.08610.
class WeightAverage {
 public:
  using Options = WeightAverageOptions;

  /// Throws Error for a decay outside [0, 1), `every` below 1, or no weight of floating numbers;
  /// DeviceError if weights are on several devices.
  WeightAverage(NamedTensors weights, const Options& options);
  template <class Expected = Options>
  WeightAverage(NamedTensors, ...) = delete;  // for the error: see layers/layer.h

  /// After each step of the optimiser, behind a captured step and not inside it. `skip` is what the
  /// optimiser's step was given: where it is not 0, averages and weights stay as they are.
  /// Throws CaptureError inside a captured step; ShapeError, DtypeError or DeviceError, naming it,
  /// if a weight has changed since the average was made.
  void step(const Tensor& skip = {});
  std::int64_t step_count() const { return steps_; }

  /// Of the updates to come. Not part of state(). Throws Error unless in [0, 1].
  void set_decay(double decay);

  /// Runs `body` with the averages in the weights' place, and puts the weights back, also if it
  /// throws. Throws as step() does.
  void with_averages(const std::function<void()>& body);
  /// Leaves the averages in the weights' place.
  void keep_averages();

  /// Copies: "steps", int64, and each average by its weight's name.
  NamedTensors state() const;
  /// Copies such tensors in, in any order. Throws Error, listing all missing, unexpected and
  /// mis-shaped keys, unless they are exactly those of state().
  void load_state(const NamedTensors& state);

 private:
  void check() const;

  NamedTensors weights_;
  NamedTensors averages_;
  Options options_;
  std::int64_t steps_ = 0;
  Tensor towards_weights_;  // decay - 1, float64 [], for a kernel that reads a learning rate
  Tensor onto_average_;     // -1
};

}  // namespace cks
