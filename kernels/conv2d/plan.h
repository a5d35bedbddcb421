#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/problem.h"

namespace cks::kernels {

enum class Conv2dPass : std::uint8_t { forward, backward_data, backward_filter };

/// Methods, by name. convv2 computes forward only, ks_deconv backward_data only, sk_dilated
/// backward_filter only; reference computes all three, slowly and in float64 inside.
enum class Conv2dAlgorithm : std::uint8_t { reference, convv2, ks_deconv, sk_dilated };

const char* name_of(Conv2dPass pass);
const char* name_of(Conv2dAlgorithm algorithm);

/// What the selectors may know of a device; plain data, so that a test can ask for any device.
struct DeviceDescription {
  bool is_cuda = false;
  int simd_bytes = 16;         // CPU: bytes of one vector register
  int compute_capability = 0;  // CUDA: 75, 80, 90, ...
  int multiprocessors = 0;     // CUDA
};

/// The CPU that this library was compiled for.
DeviceDescription describe_cpu();

/// How one pass of one problem is computed. Pure data: printable, comparable, storable.
struct Conv2dPlan {
  Conv2dPass pass = Conv2dPass::forward;
  Conv2dAlgorithm algorithm = Conv2dAlgorithm::reference;
  std::int64_t tile_rows = 0;   // positions (or filter rows) of a register tile
  std::int64_t tile_lanes = 0;  // channels of a register tile
  std::int64_t granule = 1;     // positions that share one trimmed filter; 1 executes exactly V
  std::int64_t slices = 1;      // K slices of backward_filter, summed in a fixed order
  std::size_t workspace_bytes = 0;
  std::string reason;  // a sentence

  /// "forward convv2 tile 8x32 granule 1 slices 1 workspace 4608 (reason)".
  std::string to_string() const;
};

/// Pure: same arguments, same plan; runs nothing, reads no global.
Conv2dPlan select_forward(const Conv2dProblem& problem, const DeviceDescription& device);
Conv2dPlan select_backward_data(const Conv2dProblem& problem, const DeviceDescription& device);
Conv2dPlan select_backward_filter(const Conv2dProblem& problem, const DeviceDescription& device);
Conv2dPlan select(Conv2dPass pass, const Conv2dProblem& problem, const DeviceDescription& device);

/// Every plan that takes the problem, the selected one first, the reference last.
std::vector<Conv2dPlan> possible_plans(Conv2dPass pass, const Conv2dProblem& problem,
                                       const DeviceDescription& device);

/// The plan of a named algorithm ("convv2", "reference", ...).
/// Throws PlanError, naming the possible ones, if there is none of that name for this pass and
/// problem.
Conv2dPlan force_plan(const std::string& algorithm, Conv2dPass pass, const Conv2dProblem& problem,
                      const DeviceDescription& device);

/// V: the least number of multiply-adds, the same for all three passes: N * (valid (oh,fh) pairs) *
/// (valid (ow,fw) pairs) * IC * OC / G.
std::int64_t exact_multiply_adds(const Conv2dProblem& problem);

/// What an implicit GEMM that multiplies every zero executes: N*OH*OW*OC*FH*FW*IC/G for forward and
/// backward_filter, N*IH*IW*OC*FH*FW*IC/G for backward_data on a zero-inserted dY.
std::int64_t plain_multiply_adds(Conv2dPass pass, const Conv2dProblem& problem);

}  // namespace cks::kernels
