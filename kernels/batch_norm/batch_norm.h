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
/// weight and bias [C] may be null and count as 1 and 0. All tensors are dense. `dtype` is that of
/// X, Y and their gradients; those of channels have it too, but float32 for bfloat16, which GPUs
/// alone take.
/// On a GPU the order of sums also depends on whether x and dy are 16-byte aligned; row_sums.cuh
/// says how they accumulate.
struct BatchNormProblem {
  std::int64_t rows, C;
  DType dtype;
};

/// Which statistics the forward pass used: the batch's, through which gradients flow, or given
/// ones, which are constants.
enum class BatchNormMode : std::uint8_t { batch_statistics, given_statistics };

/// What follows the normalisation in the same pass: v = Y + residual, then v > 0 ? v : slope * v,
/// or, on a GPU and without a residual, gelu(v).
struct BatchNormEnd {
  const void* residual = nullptr;  // [rows,C]; null: none
  double slope = 1.0;              // 1: no activation; 0: ReLU
  bool gelu = false;               // in place of that
};

/// How gradients go back through that end, if it has an activation: dY counts `slope` times where
/// the result was not above 0.
struct BatchNormMask {
  const void* y = nullptr;  // the result [rows,C]; null: there was no activation
  double slope = 1.0;
  /// [rows,C], gets the masked dY, of which the residual's gradient consists. Null: not wanted; on
  /// a GPU dX is computed from it, and needs it unless by_input without dy_term.
  void* dresidual = nullptr;
  /// [rows,C]: dY is the sum of dy and this, which the pass that masks it adds; y is not null. On a
  /// GPU alone. Null: dY is dy.
  const void* dy_term = nullptr;
  /// dX counts so many times where X is not above 0: what an activation that made X does to its
  /// gradient. On a GPU alone. 1: X is no activation's.
  double input_slope = 1.0;
  bool by_input = false;         // there was no residual: the sign of Y may be computed from X with
  const void* weight = nullptr;  // these, as in the forward pass, and y is not read
  const void* bias = nullptr;
  bool gelu = false;  // the activation was GELU: dY counts its slope times; by_input alone
};

/// Bytes that the functions with a workspace need: two partial sums per channel and block of rows.
CKS_ENTRY_POINT(std::size_t, batch_norm_workspace_bytes, (const BatchNormProblem& problem));

/// Of the batch: mean[c], and inv_std[c] = 1 / sqrt(variance[c] + eps) with the biased variance.
/// Unless null, running_mean and running_var move by `momentum` towards the mean and the unbiased
/// variance. Needs rows >= 2. Sums in double around the channel's first element, in a fixed order.
CKS_ENTRY_POINT(void, batch_norm_statistics,
                (const BatchNormProblem& problem, double eps, double momentum, const void* x,
                 void* mean, void* inv_std, void* running_mean, void* running_var,
                 void* workspace));

/// The same from sums [sum_rows,2,C] of x and of its squares, as a convolution leaves them
/// (common/epilogue.h). They are around 0 and float32, so that of a channel whose mean is 1,000
/// standard deviations away little is left of the variance.
CKS_ENTRY_POINT(void, batch_norm_statistics_of_sums,
                (const BatchNormProblem& problem, double eps, double momentum,
                 std::int64_t sum_rows, const float* sums, void* mean, void* inv_std,
                 void* running_mean, void* running_var));

/// inv_std[c] = 1 / sqrt(var[c] + eps) of given statistics.
CKS_ENTRY_POINT(void, batch_norm_inv_std,
                (const BatchNormProblem& problem, double eps, const void* var, void* inv_std));

CKS_ENTRY_POINT(void, batch_norm_forward,
                (const BatchNormProblem& problem, const void* x, const void* mean,
                 const void* inv_std, const void* weight, const void* bias, const BatchNormEnd& end,
                 void* y));

/// dX [rows,C], dweight and dbias [C]; each may be null and is then not computed.
CKS_ENTRY_POINT(void, batch_norm_backward,
                (const BatchNormProblem& problem, BatchNormMode mode, const void* x, const void* dy,
                 const void* mean, const void* inv_std, const void* weight,
                 const BatchNormMask& mask, void* dx, void* dweight, void* dbias, void* workspace));

// The same over a batch that several ranks share, each with `rows` of its own. What they exchange
// is float64 and ends with the number of rows, so that shares may be of different sizes.

/// moments [2C+1]: of each channel the mean and the sum of squares around it, then the rows.
CKS_ENTRY_POINT(void, batch_norm_moments,
                (const BatchNormProblem& problem, const void* x, double* moments, void* workspace));

/// What batch_norm_statistics computes, from the moments [parts,2C+1] of all ranks, in their order.
CKS_ENTRY_POINT(void, batch_norm_merge,
                (const BatchNormProblem& problem, std::int64_t parts, const double* moments,
                 double eps, double momentum, void* mean, void* inv_std, void* running_mean,
                 void* running_var));

/// sums [2C+1]: of each channel sum(dY) and sum(dY * xhat), then the rows; dweight and dbias of
/// these rows, each may be null.
CKS_ENTRY_POINT(void, batch_norm_gradient_sums,
                (const BatchNormProblem& problem, const void* x, const void* dy, const void* mean,
                 const void* inv_std, const BatchNormMask& mask, double* sums, void* dweight,
                 void* dbias, void* workspace));

/// dX of these rows, from the sums [2C+1] over all ranks.
CKS_ENTRY_POINT(void, batch_norm_input_gradient,
                (const BatchNormProblem& problem, const void* x, const void* dy, const void* mean,
                 const void* inv_std, const void* weight, const BatchNormMask& mask,
                 const double* sums, void* dx));

}  // namespace cks::kernels
