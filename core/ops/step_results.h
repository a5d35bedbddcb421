#pragma once
#include <cstdint>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What training steps came to, read from where they ran.
struct StepSummary {
  // Sums over the steps that were judged good.
  double loss_sum = 0.0;  // over images, of the mean loss of their batch
  std::int64_t correct = 0;
  std::int64_t images = 0;
  std::int64_t steps = 0;
  bool is_bad = false;         // a loss or gradient was not finite; from then on nothing is added
  double loss = 0.0;           // mean loss of the last step, or of the bad one
  double gradient_norm = 0.0;  // of the last step whose loss was finite; -1 before any
};

/// Collects losses and correct classifications in memory of the device, so that a training loop or
/// a captured step need not wait for them:
///
///   StepResults results(device);
///   ... results.add(loss, images, output, labels);       // once for each piece of the batch
///   loss.backward();
///   const ClippedNorm gradient = clip_grad_norm(parameters, max_norm);
///   optimizer.step(gradient.factor, results.judge(gradient.norm));
///   ... results.read();                                  // now and then
class StepResults {
 public:
  explicit StepResults(Device device);

  /// Adds the mean loss of `images` images, and how many rows of `logits` have their greatest value
  /// at the label; undefined logits count nothing.
  /// Shapes  loss one element, logits [images,classes], labels int64 [images].
  /// Throws  ShapeError, DtypeError, DeviceError.
  void add(const Tensor& loss, std::int64_t images, const Tensor& logits = {},
           const Tensor& labels = {});
  /// What add() has added and judge() not taken: sums of the loss, of correct ones and of images,
  /// float64 [3]. For ranks that share a batch, who add it up before they judge.
  Tensor pending() const;
  /// Ends a step: takes what was added into the sums, or, if its loss or the norm (float64, one
  /// element) is not finite, marks this step and all that follow as bad. Returns Optimizer::step's
  /// `skip`: uint8, one element, 1 for a bad step.
  const Tensor& judge(const Tensor& gradient_norm);
  /// The same tensor, which each judge() writes anew; at first 0.
  const Tensor& skip() const { return skip_; }

  /// Starts again from sums of before; what was added and not judged is forgotten. Not inside a
  /// captured step.
  void reset(const StepSummary& sums = {});
  /// Waits for the device. Throws CaptureError inside a captured step.
  StepSummary read() const;
  /// What add() has added since the last judge(), as a summary of one step. Waits likewise.
  StepSummary read_pending() const;

 private:
  Tensor values_;  // float64, the members of kernels::StepResults
  Tensor skip_;
};

}  // namespace cks
