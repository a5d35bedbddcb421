#pragma once
#include <functional>
#include <memory>

#include "cks/core/device/device.h"

namespace cks {

/// A training step that is recorded once and then repeated: a CUDA graph on a GPU, the same lambda
/// on the CPU. Both keep the same rules, so that a step written on the CPU captures on a GPU:
/// inside the lambda, item() and to_vector(), copies between devices, a result on another device, a
/// change of any result's shape between runs, and random numbers from the host throw CaptureError
/// with the operation's name.
/// Learning rate, step count and random offsets are tensors and may change between runs.
///
///   CapturedStep step([&] { optimizer.zero_grad(); loss = cross_entropy(model(x), y);
///                           loss.backward(); optimizer.step(); }, device);
///   for (...) { x.copy_(batch.images); y.copy_(batch.labels); step.run(); }
///
/// On a GPU every run() is exactly one step, too: the first calls the lambda as it is, the second
/// calls it again to record what it queues and launches the record, all others only launch it. So
/// - what the lambda does on the host (counting, printing, taking a branch) happens twice;
/// - the record keeps addresses: write new data into the tensors that the lambda uses by copy_(),
///   and keep them alive; a tensor given another storage (x = ..., set_data, Module::to) is not
///   seen;
/// - tensors made by the second run (the loss, the gradients) hold each later run's values;
/// - memory allocated inside belongs to the step alone until it is destroyed or reset;
/// - a batch of another size needs a CapturedStep of its own, or reset().
/// An exception while recording leaves nothing done on the GPU and the step unrecorded; the next
/// run records again.
class CapturedStep {
 public:
  /// `device` is where the step's tensors are. Throws Error for an empty body, DeviceError if the
  /// device cannot be used.
  explicit CapturedStep(std::function<void()> body, Device device = {});
  ~CapturedStep();
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;

  /// On a GPU: queues the step on this thread's current stream.
  void run();
  /// Forgets the record and gives its memory back, after waiting for the GPU; the next run records
  /// anew.
  void reset();
  /// True once run() launches a CUDA graph.
  bool recorded() const;

 private:
  struct Recording;
  std::function<void()> body_;
  Device device_;
  std::unique_ptr<Recording> recording_;
};

}  // namespace cks
