#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

namespace cks::kernels {

/// Normalisation of X [rows,C], an image [N,H,W,C] being N*H*W rows, for each channel c:
///
///   Y[r,c] = (X[r,c] - mean[c]) * inv_std[c] * weight[c] + bias[c]
///
/// weight and bias [C] may be null and count as 1 and 0. All tensors are dense, of one dtype.
/// On a GPU the order of sums also depends on whether x and dy are 16-byte aligned; row_sums.cuh
/// says how they accumulate.
struct BatchNormProblem {
  std::int64_t rows, C;
  DType dtype;
};

/// Which statistics the forward pass used: the batch's, through which gradients flow, or given
/// ones, which are constants.
enum class BatchNormMode : std::uint8_t { batch_statistics, given_statistics };

/// Bytes that the functions with a workspace need: two partial sums per channel and block of rows.
CKS_ENTRY_POINT(std::size_t, batch_norm_workspace_bytes, (const BatchNormProblem& problem));

/// Of the batch: mean[c], and inv_std[c] = 1 / sqrt(variance[c] + eps) with the biased variance.
/// Unless null, running_mean and running_var move by `momentum` towards the mean and the unbiased
/// variance. Needs rows >= 2. Sums in double around the channel's first element, in a fixed order.
CKS_ENTRY_POINT(void, batch_norm_statistics,
                (const BatchNormProblem& problem, double eps, double momentum, const void* x,
                 void* mean, void* inv_std, void* running_mean, void* running_var,
                 void* workspace));

/// inv_std[c] = 1 / sqrt(var[c] + eps) of given statistics.
CKS_ENTRY_POINT(void, batch_norm_inv_std,
                (const BatchNormProblem& problem, double eps, const void* var, void* inv_std));

CKS_ENTRY_POINT(void, batch_norm_forward,
                (const BatchNormProblem& problem, const void* x, const void* mean,
                 const void* inv_std, const void* weight, const void* bias, void* y));

/// dX [rows,C], dweight and dbias [C]; each may be null and is then not computed.
CKS_ENTRY_POINT(void, batch_norm_backward,
                (const BatchNormProblem& problem, BatchNormMode mode, const void* x, const void* dy,
                 const void* mean, const void* inv_std, const void* weight, void* dx, void* dweight,
                 void* dbias, void* workspace));

}  // namespace cks::kernels
