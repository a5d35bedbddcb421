#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "cks/core/scoped_value.h"
#include "cks/core/tensor/tensor.h"

namespace cks {

/// Streams beside the one that a step is recorded on.
class SideStreams {
 public:
  virtual ~SideStreams() = default;
  /// From here to leave(), what this thread queues and allocates belongs to a branch (from 1) that
  /// starts after everything queued so far on the main line, this thread's current stream.
  virtual void enter(int branch) = 0;
  virtual void leave() = 0;
  /// What is queued from now on starts after the branches' ends.
  virtual void join() = 0;

  /// join() waits until somebody needs the branches again or what they make; `used` lives until
  /// then.
  void postpone_join(std::vector<Tensor> used) {
    used_ = std::move(used);
    ++postponed_;
  }
  void join_postponed() {
    if (!used_.empty()) {
      join();
      used_.clear();
    }
  }
  /// The number of the join that is postponed now, from 1; 0: none.
  std::uint64_t postponed() const { return used_.empty() ? 0 : postponed_; }

 private:
  std::vector<Tensor> used_;  // by branches that have not been joined
  std::uint64_t postponed_ = 0;
};

/// Parts of a backward pass or a step that do not need each other: in the graph of a captured step
/// they run side by side, which fills a GPU that small kernels leave half empty; otherwise one
/// after the other. All tensors that the parts use must live until they are joined.
class Branches {
 public:
  static constexpr int kCount = 5;  // beside the main line
  Branches();
  /// Joins the branches of which an exception kept join() from being called; the exception goes on,
  /// whatever this comes to.
  ~Branches();
  Branches(const Branches&) = delete;
  Branches& operator=(const Branches&) = delete;

  /// What is queued from now on starts after the ends of the branches. To be called at the end.
  void join();
  /// In place of join(): the branches run on beside what follows, until join_postponed() or other
  /// Branches. `used`: all tensors that they read.
  void postpone_join(std::vector<Tensor> used);
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
class SideStreamsScope : ScopedValue<SideStreams*> {
 public:
  explicit SideStreamsScope(SideStreams* side);
};

/// Joins what is left of postpone_join() on this thread.
void join_postponed_branches();
/// SideStreams::postponed() of this thread.
std::uint64_t postponed_branches();

namespace ops {

/// The needed ones of the gradients of input, weight and bias, in this order, from functions that
/// make them, reading `used`. They do not need each other: in a captured step they run side by
/// side, that of the input, for which the layers before it wait, on the main line. may_run_on: the
/// others may go on beside those layers, which then fill what they leave of the GPU.
template <class Input, class Weight, class Bias>
std::vector<Tensor> run_gradients(const std::vector<bool>& needed, bool may_run_on,
                                  std::vector<Tensor> used, Input&& input, Weight&& weight,
                                  Bias&& bias) {
  std::vector<Tensor> grads(3);
  Branches branches;
  if (needed[2]) {
    branches.run([&] { grads[2] = bias(); });
  }
  if (needed[1]) {
    if (needed[0]) {
      branches.run([&] { grads[1] = weight(); });
    } else {
      grads[1] = weight();
    }
  }
  if (needed[0]) {
    grads[0] = input();
  }
  if (may_run_on) {
    branches.postpone_join(std::move(used));
  } else {
    branches.join();
  }
  return grads;
}

}  // namespace ops
}  // namespace cks
