#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/epilogue.h"

namespace cks::kernels {

/// C = epilogue(op(A) op(B)), all row-major; the columns of C are the epilogue's channels.
///
/// Shapes   op(A) [M,K], op(B) [K,N], C [M,N]. A is stored as [M,K], or as [K,M] if
///          transpose_a; B as [K,N], or as [N,K] if transpose_b.
/// Layout   lda, ldb, ldc are the elements between neighbouring rows as stored; 0 means dense.
struct GemmProblem {
  std::int64_t M, N, K;
  bool transpose_a = false;
  bool transpose_b = false;
  DType dtype = DType::float32;
  std::int64_t lda = 0, ldb = 0, ldc = 0;

  std::int64_t pitch_a() const { return lda != 0 ? lda : (transpose_a ? M : K); }
  std::int64_t pitch_b() const { return ldb != 0 ? ldb : (transpose_b ? K : N); }
  std::int64_t pitch_c() const { return ldc != 0 ? ldc : N; }
};

/// Bytes that gemm() needs: 0 unless K is cut into slices, which a small C with a long K is.
/// Throws DtypeError unless float32 or float64.
CKS_ENTRY_POINT(std::size_t, gemm_workspace_bytes, (const GemmProblem& problem));

/// Overwrites C; with K = 0 the sums are zeros. The workspace is 64-byte aligned
/// and may be null if gemm_workspace_bytes is 0.
///
/// Tiles of C and slices of K are cut by the problem alone and the slices are added in order, so
/// the result does not depend on the number of threads.
CKS_ENTRY_POINT(void, gemm,
                (const GemmProblem& problem, const void* a, const void* b, const Epilogue& epilogue,
                 void* c, void* workspace));

}  // namespace cks::kernels
