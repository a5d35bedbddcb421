#pragma once
#include <memory>
#include <optional>
#include <string>

#include "cks/core/device/device.h"
#include "cks/kernels/conv2d/plan.h"

namespace cks {

/// While it lives, convolutions of the whole process are computed by the plan that was fastest when
/// tried, instead of the one that the cost model expects to be: whoever first asks for a pass of a
/// problem waits until the likeliest plans have been timed on random operands. Answers are kept in
/// a file, for the processes to come, and then cost nothing.
///
/// Timing decides anew on every machine, and with it the order in which float32 sums are added up:
/// without the file the same seed need not give the same bits twice. While a CUDA graph is being
/// recorded nothing is timed, and the cost model answers; so it does where the operands do not fit
/// into memory.
class ConvTuning {
 public:
  /// `file` is text, a line for each answer; it is made at the first answer, and replaced in one
  /// step. Empty: answers are kept in memory alone. A file of another version of CKS is begun anew.
  /// Throws PlanError, naming file and line, if it is not such a file; IoError if it cannot be
  /// read; Error while another ConvTuning lives.
  explicit ConvTuning(std::string file = "");
  ~ConvTuning();
  ConvTuning(const ConvTuning&) = delete;
  ConvTuning& operator=(const ConvTuning&) = delete;

  /// Passes of problems that it timed, and those that it found in the file.
  int timed() const;
  int found() const;

  struct State;  // what it knows by now

 private:
  std::shared_ptr<State> state_;
};

/// Number of the ConvTuning that lives; 0: none. What was planned under another is out of date.
std::uint64_t conv_tuning_number();

/// The plan that the living ConvTuning knows or now finds; none if there is nothing to choose by.
/// Throws IoError if its file cannot be written.
std::optional<kernels::Conv2dPlan> tuned_plan(kernels::Conv2dPass pass,
                                              const kernels::Conv2dProblem& problem, Device device);

}  // namespace cks
