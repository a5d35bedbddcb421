#pragma once
#include <functional>
#include <memory>

#include "cks/core/device/device.h"

namespace cks {

/// The record of a captured step on a CUDA device, with the memory pool that it uses.
class StepGraph {
 public:
  virtual ~StepGraph() = default;
  /// Calls the body in the pool of the step. If it throws, the pool is gone.
  virtual void run_eagerly(const std::function<void()>& body) = 0;
  /// Records what the body queues, and launches it. If anything throws, nothing has run.
  virtual void record(const std::function<void()>& body) = 0;
  virtual bool recorded() const = 0;
  virtual void launch() = 0;
};

/// Only in builds with CUDA.
std::unique_ptr<StepGraph> make_step_graph(Device device);

}  // namespace cks
