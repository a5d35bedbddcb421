#pragma once
#include <cstdint>

#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/epilogue.h"
#include "cks/kernels/conv2d/problem.h"

/// The three passes as naive loop nests, straight from the definition: every output walks over the
/// whole filter (or all positions), and each index is tested for being inside. Slow; meant to be
/// read, and to check everything else against.
///
/// Dtype    float32, float64 or bfloat16; X and Y of one dtype, W and bias of one dtype. Sums in
///          float64, rounded once when stored.
/// Returns  the multiply-adds executed, counted one by one: products with a pixel outside the image
///          are not issued, so the count is V (exact_multiply_adds).
/// Throws   DtypeError if the problem's dtypes are others.
namespace cks::kernels {

/// Y[n,oh,ow,oc] = epilogue of the sum over fh,fw,ic.
CKS_CPU_FUNCTION(std::int64_t, reference_forward,
                 (const Conv2dProblem& problem, const void* x, const void* w,
                  const Epilogue& epilogue, void* y));

/// dX[n,ih,iw,ic] = epilogue of the sum over oc,fh,fw of dY at the (oh,ow) that read (ih,iw)
/// through tap (fh,fw), if there is one.
CKS_CPU_FUNCTION(std::int64_t, reference_backward_data,
                 (const Conv2dProblem& problem, const void* dy, const void* w,
                  const Epilogue& epilogue, void* dx));

/// dW[oc,fh,fw,ic] = sum over n,oh,ow of dY * the pixel of X that tap (fh,fw) reads there.
CKS_CPU_FUNCTION(std::int64_t, reference_backward_filter,
                 (const Conv2dProblem& problem, const void* x, const void* dy, void* dw));

}  // namespace cks::kernels
