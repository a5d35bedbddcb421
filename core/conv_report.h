#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/problem.h"

namespace cks {

/// What the convolution calls of one module, pass, problem and plan did; numbers are sums over the
/// calls.
struct ConvRecord {
  std::string module_path;  // empty outside of modules
  kernels::Conv2dPass pass = kernels::Conv2dPass::forward;
  kernels::Conv2dProblem problem{};
  kernels::Conv2dPlan plan;
  std::int64_t calls = 0;
  std::int64_t executed = 0;  // multiply-adds, counted where products were issued
  std::int64_t exact = 0;     // the least number possible, V
  std::int64_t plain = 0;     // what an implicit GEMM that multiplies every zero executes
  double seconds = 0.0;
};

/// Collects a record of every convolution that runs on this thread while it lives; of nested
/// recorders each collects. Without a recorder nothing is collected or timed. Must be destroyed on
/// its own thread, the last made first.
///
///   ConvRecorder recorder;
///   loss.backward();
///   for (const ConvRecord& record : recorder.records()) { ... }
class ConvRecorder {
 public:
  ConvRecorder();
  ~ConvRecorder();
  ConvRecorder(const ConvRecorder&) = delete;
  ConvRecorder& operator=(const ConvRecorder&) = delete;

  /// In the order in which each was seen first.
  const std::vector<ConvRecord>& records() const { return records_; }
  void clear() { records_.clear(); }

 private:
  friend void report_convolution(const ConvRecord& call);
  void add(const ConvRecord& call);

  ConvRecorder* outer_;
  std::vector<ConvRecord> records_;
};

/// Whether a recorder lives on this thread.
bool convolutions_are_recorded();
/// Adds one call to all recorders of this thread.
void report_convolution(const ConvRecord& call);

}  // namespace cks
