#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/problem.h"

namespace cks {

/// What the convolution calls of one module, pass, problem and plan did; numbers are sums over the
/// calls.
struct ConvRecord {
  std::string module_path{};  // empty outside of modules
  kernels::Conv2dPass pass = kernels::Conv2dPass::forward;
  kernels::Conv2dProblem problem{};
  kernels::Conv2dPlan plan{};
  std::int64_t calls = 0;
  std::int64_t executed = 0;  // multiply-adds, counted where products were issued
  std::int64_t exact = 0;     // the least number possible, V
  std::int64_t plain = 0;     // what an implicit GEMM that multiplies every zero executes
  double seconds = 0.0;       // of the device; 0 for calls inside a step recorded on a GPU
  /// relative_error() of the first call against the float64 reference, if it was asked for.
  std::optional<double> error{};

  /// Adds another record's numbers; of the errors the greater one stays.
  void add(const ConvRecord& other);
};

/// Greatest difference, relative to the greatest magnitude expected; NaN if any difference is.
/// float32 or float64, on any device. Throws ShapeError, DtypeError.
double relative_error(const Tensor& result, const Tensor& expected);

struct ConvRecorderOptions {
  /// Compute the first call of each convolution a second time, by the reference, and compare: slow,
  /// above all on a CPU.
  bool check = false;
};

/// Collects a record of every convolution that runs on this thread while it lives; of nested
/// recorders each collects. Without a recorder nothing is collected or timed. Must be destroyed on
/// its own thread, the last made first.
///
/// On a GPU a recorded convolution is computed twice, the second time between two events: the
/// device comes from the one to the other without a break for the host.
///
///   ConvRecorder recorder;
///   loss.backward();
///   for (const ConvRecord& record : recorder.records()) { ... }
class ConvRecorder {
 public:
  explicit ConvRecorder(const ConvRecorderOptions& options = {});
  ~ConvRecorder();
  ConvRecorder(const ConvRecorder&) = delete;
  ConvRecorder& operator=(const ConvRecorder&) = delete;

  /// In the order in which each was seen first.
  const std::vector<ConvRecord>& records() const { return records_; }
  void clear() { records_.clear(); }

 private:
  friend bool convolution_needs_check(const ConvRecord& call);
  friend void report_convolution(const ConvRecord& call);
  void add(const ConvRecord& call);

  ConvRecorderOptions options_;
  ConvRecorder* outer_;
  std::vector<ConvRecord> records_;
};

/// Whether a recorder lives on this thread.
bool convolutions_are_recorded();
/// Whether a recorder of this thread asks for the error of a convolution and has none yet.
bool convolution_needs_check(const ConvRecord& call);
/// Adds one call to all recorders of this thread.
void report_convolution(const ConvRecord& call);

}  // namespace cks
