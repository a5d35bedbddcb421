#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// Reductions over one axis. Sums of float32 and of float64 accumulate in float64, in lanes and
/// blocks whose bounds and order come from the problem, so that results are the same bits for every
/// number of threads. x and y are float32 or float64 (DtypeError otherwise); of bfloat16 GPUs make
/// sums, too, of float32 sums of four.
namespace cks::kernels {

/// x [outer, count, inner] -> y [outer, inner].
struct ReduceProblem {
  std::int64_t outer = 1;
  std::int64_t count = 1;  // extent of the axis that goes
  std::int64_t inner = 1;
  DType dtype = DType::float32;
  DType result = dtype;  // of y; max takes none but dtype
};

enum class ReduceOp : std::uint8_t {
  sum,  // 0 where count is 0
  max,  // NaN if any element is; -infinity where count is 0
};

/// Bytes of workspace, 8-byte aligned, that reduce needs; 0 for small problems.
CKS_ENTRY_POINT(std::size_t, reduce_workspace_bytes, (const ReduceProblem& problem));
/// Bytes of workspace, 8-byte aligned, that sum_of_squares needs.
CKS_ENTRY_POINT(std::size_t, sum_of_squares_workspace_bytes, (std::int64_t count));

/// y = scale * reduction over count; the product is formed in float64. scale < 0 or > 1 is fine.
CKS_ENTRY_POINT(void, reduce,
                (ReduceOp op, const ReduceProblem& problem, double scale, const void* x, void* y,
                 void* workspace));

/// Index of the first greatest element along count, a NaN being the greatest. count must be >= 1.
CKS_ENTRY_POINT(void, argmax, (const ReduceProblem& problem, const void* x, std::int64_t* y));

/// Sum of x*x, accumulated in float64.
CKS_ENTRY_POINT(void, sum_of_squares,
                (DType dtype, std::int64_t count, const void* x, double* result, void* workspace));

}  // namespace cks::kernels
