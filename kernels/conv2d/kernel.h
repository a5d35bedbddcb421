#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "cks/kernels/conv2d/conv2d.h"
#include "cks/kernels/conv2d/plan.h"

/// The table of kernels. A kernel is one Conv2dKernel, defined beside its code, and one row of
/// kernels.cpp. It says what it computes, where it runs and which plans it proposes; selection,
/// forcing by name, tests on the whole problem list and benchmarks follow from that.
namespace cks::kernels {

/// A few values of a small enum.
template <class Enum>
class EnumSet {
 public:
  constexpr EnumSet(std::initializer_list<Enum> members) {
    for (const Enum member : members) {
      bits_ |= 1U << static_cast<unsigned>(member);
    }
  }
  constexpr bool contains(Enum member) const {
    return (bits_ >> static_cast<unsigned>(member) & 1U) != 0;
  }

 private:
  unsigned bits_ = 0;
};

/// A pass that a plan is wanted for.
struct Conv2dRequest {
  Conv2dPass pass;
  const Conv2dProblem& problem;
  const DeviceDescription& device;
  Arithmetic arithmetic;
};

/// A plan and the time that its kernel's cost model expects; only the order of costs counts.
struct Conv2dCandidate {
  Conv2dPlan plan;
  double cost = 0.0;
};

/// The operands of one call: two of X, W and Y are read, the third is the result.
struct Conv2dOperands {
  const void* x;
  const void* w;
  const void* y;
  void* result;
  Epilogue epilogue;
  void* workspace;
  Conv2dHalves halves{};
};

/// Runs a plan and returns the multiply-adds it executed, counted where products are issued.
using RunConv2d = std::int64_t(const PreparedConv2d& conv, const Conv2dOperands& operands);

struct Conv2dKernel {
  const char* name;
  EnumSet<Conv2dPass> passes;
  EnumSet<Arithmetic> arithmetic;
  /// The least compute capability: 75, 80, 90, ...; 0 for kernels of the CPU.
  int compute_capability;
  /// Whether it runs on that one alone: code of 90a uses what newer GPUs do not have.
  bool only_there = false;
  /// In what it applies an Epilogue::mask that lies at a multiple of 16 bytes, with IC a multiple
  /// of 8 and no other step but the bias; otherwise a pass over the result follows.
  EnumSet<Arithmetic> masks = {};

  /// The kernel's plans for a problem; none if it does not take it. Pass, kernel and arithmetic are
  /// filled in by the caller. Pure.
  std::vector<Conv2dCandidate> (*candidates)(const Conv2dRequest& request);
  /// Whether a plan of this kernel, which may come from a file or of another problem, fits a
  /// problem. Pure.
  bool (*accepts)(const Conv2dPlan& plan, const Conv2dProblem& problem);
  /// What all launches of a plan have in common, worked out once (PreparedConv2d::launch_data);
  /// null: nothing.
  std::shared_ptr<const void> (*prepare)(const Conv2dPlan& plan,
                                         const Conv2dProblem& problem) = nullptr;
  RunConv2d* run;  // null in a build without the kernel's backend
  /// Rows of Epilogue::channel_sums that a forward pass leaves, of OC a multiple of 8; 0: none.
  /// Null: none of any plan.
  std::int64_t (*sum_rows)(const PreparedConv2d& conv) = nullptr;
};

/// The rows of a backend; of equally good candidates the earlier row wins.
std::span<const Conv2dKernel* const> conv2d_kernels(bool is_cuda);

/// Whether X, W and Y are all of one type.
inline bool has_type(const Conv2dProblem& p, DType type) {
  return p.x_type == type && p.w_type == type && p.y_type == type;
}
/// In what the products of a problem may be computed: what its types and its precision say. A
/// problem in tf32 may be computed better, or in fp16, whose numbers are as fine.
inline EnumSet<Arithmetic> arithmetic_of(const Conv2dProblem& p) {
  if (p.x_type == DType::float64) {
    return {Arithmetic::fp64};
  }
  if (p.x_type == DType::bfloat16) {
    return {Arithmetic::bf16};
  }
  return p.precision == Precision::fp32
             ? EnumSet<Arithmetic>{Arithmetic::fp32}
             : EnumSet<Arithmetic>{Arithmetic::fp32, Arithmetic::tf32, Arithmetic::fp16};
}
/// Whether a device runs a kernel.
inline bool runs_on(const DeviceDescription& device, const Conv2dKernel& kernel) {
  return kernel.only_there ? device.compute_capability == kernel.compute_capability
                           : device.compute_capability >= kernel.compute_capability;
}
inline bool has_real_type(const Conv2dProblem& p) {
  return has_type(p, DType::float32) || has_type(p, DType::float64);
}

}  // namespace cks::kernels
