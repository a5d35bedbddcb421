#pragma once
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"

/// Binary cross-entropy of each logit x with its target t: with s = 1 / (1 + exp(-x))
///
///   -t * log(s) - (1 - t) * log(1 - s),
///
/// accurate and finite wherever s rounds to 0 or 1. float32 and float64.
namespace cks::kernels {

CKS_ENTRY_POINT(void, bce_with_logits_forward,
                (DType dtype, std::int64_t count, const void* x, const void* t, void* y));
/// Gradient by the logits: dy * (s - t).
CKS_ENTRY_POINT(void, bce_with_logits_backward,
                (DType dtype, std::int64_t count, const void* x, const void* t, const void* dy,
                 void* dx));

}  // namespace cks::kernels
