#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"
#include "cks/kernels/conv2d/conv2d.h"

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

/// Runs a pass of a convolution once; returns the multiply-adds it executed.
using ConvLaunch =
    std::function<std::int64_t(const kernels::PreparedConv2d& conv, void* workspace)>;

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
  friend void run_recorded(const char*, const kernels::PreparedConv2d&, const Tensor&, void*,
                           const ConvLaunch&);
  bool lacks_error_of(const ConvRecord& call) const;

  ConvRecorderOptions options_;
  ConvRecorder* outer_;
  std::vector<ConvRecord> records_;
};

/// Adds a call to the record of the same convolution, or as one of its own.
void add_record(std::vector<ConvRecord>& records, const ConvRecord& call);

/// Whether a recorder lives on this thread.
bool convolutions_are_recorded();
/// Runs a convolution for all recorders of this thread, timed, and checked if one asks for it.
/// `result` is what it writes; the workspace is the plan's.
void run_recorded(const char* operation, const kernels::PreparedConv2d& conv, const Tensor& result,
                  void* workspace, const ConvLaunch& launch);

}  // namespace cks
