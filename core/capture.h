#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "cks/core/device.h"
#include "cks/core/shape.h"

namespace cks {

/// A training step that is recorded once and then repeated: a CUDA graph on a GPU, the same lambda
/// on the CPU. Both keep the same rules, so that a step written on the CPU captures on a GPU:
/// inside the lambda, item() and to_vector(), a change of any result's shape between runs, and
/// random numbers from the host throw CaptureError with the operation's name.
/// Learning rate, step count and random offsets are tensors and may change between runs.
///
///   CapturedStep step([&] { optimizer.zero_grad(); loss = cross_entropy(model(x), y);
///                           loss.backward(); optimizer.step(); });
///   for (...) { x.copy_(batch.images); y.copy_(batch.labels); step.run(); }
class CapturedStep {
 public:
  explicit CapturedStep(std::function<void()> body);
  ~CapturedStep();
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;

  void run();
  /// Forgets the recorded shapes; the next run records anew.
  void reset();

 private:
  struct Recording;
  std::function<void()> body_;
  std::unique_ptr<Recording> recording_;
};

namespace capture {
/// True inside a CapturedStep's lambda on this thread.
bool active();
/// Throws CaptureError, naming the operation, inside a captured step.
void forbid(const char* operation);
/// Records a result on the first run of a captured step, compares with it on later ones.
void note_result(const char* operation, const Shape& shape);
}  // namespace capture

}  // namespace cks
