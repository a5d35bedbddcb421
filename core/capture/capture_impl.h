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

/// Streams beside the one that a step is recorded on.
class SideStreams {
 public:
  virtual ~SideStreams() = default;
  /// From here to leave(), what this thread queues and allocates belongs to a branch (1 or 2) that
  /// starts after everything queued so far on the main line, this thread's current stream.
  virtual void enter(int branch) = 0;
  virtual void leave() = 0;
  /// What is queued from now on starts after the branches' ends.
  virtual void join() = 0;
};

/// Parts of one backward pass that do not need each other: in the graph of a captured step they run
/// side by side, which fills a GPU that small kernels leave half empty; otherwise one after the
/// other. All tensors that the parts use must live until they are joined.
class Branches {
 public:
  static constexpr int kCount = 2;  // beside the main line
  Branches();
  /// Joins the branches of which an exception kept join() from being called; the exception goes on,
  /// whatever this comes to.
  ~Branches();
  Branches(const Branches&) = delete;
  Branches& operator=(const Branches&) = delete;

  /// What is queued from now on starts after the ends of the branches. To be called at the end.
  void join();
  /// Runs body() on a branch of its own, if there is one left.
  template <class Body>
  void run(Body&& body) {
    if (side_ == nullptr || used_ == kCount) {
      body();
      return;
    }
    side_->enter(++used_);
    try {
      body();
    } catch (...) {
      side_->leave();
      throw;
    }
    side_->leave();
  }

 private:
  SideStreams* side_;  // null unless a CUDA graph is being recorded
  int used_ = 0;
};

/// Makes Branches of this thread use side streams until the end of the scope.
class SideStreamsScope {
 public:
  explicit SideStreamsScope(SideStreams* side);
  ~SideStreamsScope();
  SideStreamsScope(const SideStreamsScope&) = delete;
  SideStreamsScope& operator=(const SideStreamsScope&) = delete;
};

}  // namespace cks
