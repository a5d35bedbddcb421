#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cks/kernels/conv2d/problem.h"

namespace cks::kernels {

enum class Conv2dPass : std::uint8_t { forward, backward_data, backward_filter };
inline constexpr Conv2dPass kConv2dPasses[] = {Conv2dPass::forward, Conv2dPass::backward_data,
                                               Conv2dPass::backward_filter};

/// What a kernel multiplies; sums of fp64 are float64, of all others float32 or wider. tf32:
/// float32 rounded to 10 bits behind the point. fp16: the same, in float16 times a power of two for
/// each tensor (halves/halves.h).
enum class Arithmetic : std::uint8_t { fp32, fp64, tf32, fp16, bf16 };
inline constexpr Arithmetic kArithmetics[] = {Arithmetic::fp32, Arithmetic::fp64, Arithmetic::tf32,
                                              Arithmetic::fp16, Arithmetic::bf16};

const char* name_of(Conv2dPass pass);
const char* name_of(Arithmetic arithmetic);
/// The method of the paper that skips the zeros of a pass: convv2, ks_deconv, sk_dilated.
const char* method_of(Conv2dPass pass);

/// What the selectors may know of a device; plain data, so that a test can ask for any device.
struct DeviceDescription {
  bool is_cuda = false;
  int simd_bytes = 16;         // CPU: bytes of one vector register
  int compute_capability = 0;  // CUDA: 75, 80, 90, ...
  int multiprocessors = 0;     // CUDA
};

/// This CPU, as its kernels' level of instructions uses it (common/cpu_level.h).
DeviceDescription describe_cpu();

/// Rows and columns of the tile of a product that a kernel computes at a time; what they count
/// stands beside the kernel.
struct Conv2dTile {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  friend bool operator==(const Conv2dTile&, const Conv2dTile&) = default;
};

/// How one pass of one problem is computed. Pure data: printable, comparable, storable.
struct Conv2dPlan {
  Conv2dPass pass = Conv2dPass::forward;
  std::string kernel = "reference";  // a row of the table of kernels (kernel.h)
  Arithmetic arithmetic = Arithmetic::fp32;
  Conv2dTile tile{};
  std::int64_t split_k = 1;  // parts of the sums of backward_filter, added in a fixed order
  std::int64_t granule = 1;  // positions that share one trimmed filter; 1 executes exactly V
  std::size_t workspace_bytes = 0;
  std::string reason{};  // a sentence

  /// method_of(pass), or "reference" for the kernel of that name.
  const char* method() const;
  /// "forward convv2 tiled 128x64 fp32 split-K 1 granule 1 workspace 4608 (reason)".
  std::string to_string() const;
};

/// Whether two plans compute alike: all but the reason.
bool same_plan(const Conv2dPlan& a, const Conv2dPlan& b);

/// Pure: same arguments, same plan; runs nothing, reads no global.
/// Throws DtypeError if no kernel but the reference takes the problem's types.
Conv2dPlan select(Conv2dPass pass, const Conv2dProblem& problem, const DeviceDescription& device);

/// Every plan that takes the problem, the selected one first, the reference last. Empty if not even
/// the reference reads the problem's types.
std::vector<Conv2dPlan> possible_plans(Conv2dPass pass, const Conv2dProblem& problem,
                                       const DeviceDescription& device);

/// The best plan of a kernel ("tiled", "reference", ...) or of a method ("convv2", ...).
/// Throws PlanError, naming the possible ones, if there is none of that name for this pass and
/// problem.
Conv2dPlan force_plan(const std::string& name, Conv2dPass pass, const Conv2dProblem& problem,
                      const DeviceDescription& device);

/// The names that force_plan() knows for a pass on some device: the method, then the kernels of
/// every backend.
std::vector<std::string> plan_names(Conv2dPass pass);

/// V: the least number of multiply-adds, the same for all three passes: N * (valid (oh,fh) pairs) *
/// (valid (ow,fw) pairs) * IC * OC / G.
std::int64_t exact_multiply_adds(const Conv2dProblem& problem);

/// What an implicit GEMM that multiplies every zero executes: N*OH*OW*OC*FH*FW*IC/G for forward and
/// backward_filter, N*IH*IW*OC*FH*FW*IC/G for backward_data on a zero-inserted dY.
std::int64_t plain_multiply_adds(Conv2dPass pass, const Conv2dProblem& problem);

}  // namespace cks::kernels
