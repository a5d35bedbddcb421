#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/plan.h"
#include "tests/support/compare.h"
#include "tests/support/conv2d_problems.h"
#include "tests/support/fill.h"

/// What the tests of the three passes share: data, guarded memory, one call of a pass.
namespace cks::testing {

inline constexpr kernels::Conv2dPass kPasses[] = {kernels::Conv2dPass::forward,
                                                  kernels::Conv2dPass::backward_data,
                                                  kernels::Conv2dPass::backward_filter};

enum class Fill { small_integers, reals };

/// Dense values of all tensors of a convolution; each is the same number in float32 and float64.
struct Conv2dValues {
  std::vector<double> x, w, y;         // [N,IH,IW,IC], [OC,FH,FW,IC/G], [N,OH,OW,OC]
  std::vector<double> y_bias, x_bias;  // [OC], [IC]
};
Conv2dValues make_values(const kernels::Conv2dProblem& problem, Fill fill, std::uint64_t seed);
/// Replaces each value by the next number of bfloat16.
void round_to_bfloat16(std::vector<double>& values);
void round_to_bfloat16(Conv2dValues& values);

Extents x_shape(const kernels::Conv2dProblem& problem);
Extents w_shape(const kernels::Conv2dProblem& problem);
Extents y_shape(const kernels::Conv2dProblem& problem);
/// The shape of what a pass computes: Y, dX or dW.
Extents result_shape(kernels::Conv2dPass pass, const kernels::Conv2dProblem& problem);

/// The tensors of one pass in memory as the problem lays them out: between guard bands, with the
/// gaps between pixels NaN; odd bases lie one element behind a 64-byte boundary.
class Conv2dMemory {
 public:
  Conv2dMemory(kernels::Conv2dPass pass, const kernels::Conv2dProblem& problem,
               const Conv2dValues& values, bool with_bias, bool odd_bases = false);

  /// Fills the result and a workspace of exactly plan.workspace_bytes with NaN and calls the entry
  /// point. Returns the multiply-adds it reports.
  std::int64_t run(const kernels::Conv2dPlan& plan);
  /// The same through the reference functions.
  std::int64_t run_reference();

  /// The computed values, dense.
  std::vector<double> result() const;
  /// All bytes of the result's buffer, gaps included.
  std::vector<unsigned char> bytes() const;
  /// What the last run wrote that it must not write, in words; empty if nothing.
  std::string damage();

 private:
  struct Image;  // a tensor of pixels (or, for the filter, one pixel of all its elements)

  kernels::Conv2dPass pass_;
  kernels::Conv2dProblem problem_;
  std::vector<std::shared_ptr<Image>> inputs_;  // the pass' two operands
  std::shared_ptr<Image> bias_;                 // may be null
  std::shared_ptr<Image> result_;
  std::shared_ptr<GuardedBuffer> workspace_;
};

/// The length of the sums of a pass, as it stands in the tolerance.
std::int64_t sum_length(kernels::Conv2dPass pass, const kernels::Conv2dProblem& problem);

/// eps * sqrt(L) * max|a| * max|b|: the unit in which errors of a pass are measured.
double error_unit(kernels::Conv2dPass pass, const kernels::Conv2dProblem& problem);

/// The bound on errors in that unit; the one constant, for all passes, dtypes and problems.
inline constexpr double kErrorUnits = 32.0;

/// Collects what went wrong over many problems and reports the first of it, so that a broken kernel
/// does not print thousands of lines.
class Failures {
 public:
  void add(const std::string& where, const std::string& what);
  /// A doctest failure for each of the first 20; one more with the number of the others.
  ~Failures();

 private:
  std::vector<std::string> first_;
  std::int64_t count_ = 0;
};

/// A listed problem with dense pixels and, if asked for, channels in eights; small integers, and
/// what the float64 reference makes of them in one pass: for tests that do on a CPU, one element
/// after the other, what a GPU is told to do.
struct WalkedProblem {
  std::string name;
  std::uint64_t seed;
  kernels::Conv2dPass pass;
  kernels::Conv2dProblem problem;
  Conv2dValues values;
  std::vector<double> expected;

  /// Reports what differs in `got`: the pass' result, or slices of it that are to be added.
  void expect(const std::vector<double>& got, const std::string& where, Failures& failures) const;
};
struct WalkedProblems {
  std::vector<kernels::Conv2dPass> passes;
  std::uint64_t every;              // of the list
  std::int64_t most_multiply_adds;  // of a pass
  bool grouped = true;              // also those of several groups, and transposed ones
  std::int64_t most_channels = std::numeric_limits<std::int64_t>::max();
  bool in_eights = true;  // the channels of a group, rounded up
};
void each_walked_problem(const WalkedProblems& which,
                         const std::function<void(const WalkedProblem&)>& visit);

/// Sets the number of threads, and sets it back at the end.
class ThreadsScope {
 public:
  explicit ThreadsScope(int threads);
  ~ThreadsScope();
  ThreadsScope(const ThreadsScope&) = delete;
  ThreadsScope& operator=(const ThreadsScope&) = delete;

 private:
  int before_;
};

}  // namespace cks::testing
