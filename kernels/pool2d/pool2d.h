#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/pool2d/problem.h"

/// Pooling over windows of an image, forward and backward, float32 and float64, and on GPUs
/// bfloat16. All of them overwrite their results completely. Gradients are gathered: each pixel of
/// dX sums over the windows that contain it, in order; results do not depend on the number of
/// threads. Every sum is of doubles, or of floats for bfloat16, but the global average's.
namespace cks::kernels {

/// Bytes of the index, in which the forward pass leaves which elements it chose; only the backward
/// pass of the same device reads it. Of a GPU it has a byte for each window of at most 255 taps.
CKS_ENTRY_POINT(std::size_t, max_pool2d_index_bytes, (const Pool2dProblem& problem));

/// Y = the largest element of each window; index = where it was found.
/// The first of equal elements wins; a NaN wins over every number, the last of several NaNs wins.
/// A dilated window that touches no pixel of the image gives -infinity, and no pixel its gradient.
CKS_ENTRY_POINT(void, max_pool2d_forward,
                (const Pool2dProblem& problem, const void* x, void* y, void* index));

/// dX from dY and the forward pass's index.
CKS_ENTRY_POINT(void, max_pool2d_backward,
                (const Pool2dProblem& problem, const void* dy, const void* index, void* dx));

/// Y = the sum of each window divided by the number of its pixels inside the image, or, with
/// count_include_pad, inside the image with its padding: FH*FW but for windows that reach beyond.
/// Dilation must be 1.
CKS_ENTRY_POINT(void, avg_pool2d_forward,
                (const Pool2dProblem& problem, bool count_include_pad, const void* x, void* y));
CKS_ENTRY_POINT(void, avg_pool2d_backward,
                (const Pool2dProblem& problem, bool count_include_pad, const void* dy, void* dx));

/// Y [N,C] = the mean over the pixels of X [N,pixels,C].
CKS_ENTRY_POINT(void, global_avg_pool2d_forward,
                (DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C, const void* x,
                 void* y));
CKS_ENTRY_POINT(void, global_avg_pool2d_backward,
                (DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C, const void* dy,
                 void* dx));

}  // namespace cks::kernels
