#pragma once
#include <cstddef>
#include <cstdint>

#include "cks/kernels/common/dtype.h"
#include "cks/kernels/common/entry_point.h"
#include "cks/kernels/common/host_device.h"

/// Looking at all gradients together: on a GPU in one launch for up to 160 gradients of a dtype and
/// one for the rest of the sum.
namespace cks::kernels {

/// One gradient: a dense array of `count` elements, float32 or float64.
struct NormTensor {
  DType dtype;
  std::int64_t count;
  const void* x;
};

/// min(1, max_norm / (norm + 1e-6)): PyTorch's clipping. A NaN stays one.
CKS_HOST_DEVICE inline double clip_ratio(double norm, double max_norm) {
  const double ratio = max_norm / (norm + 1e-6);
  return ratio > 1.0 ? 1.0 : ratio;
}

/// Bytes of workspace, 8-byte aligned, that gradient_norm needs.
CKS_ENTRY_POINT(std::size_t, gradient_norm_workspace_bytes,
                (const NormTensor* tensors, std::int64_t count));

/// *norm = the root of the sum of the squares of all elements, added in float64 in an order of the
/// sizes alone; *factor = clip_ratio(*norm, max_norm). The list lies in host memory and is read
/// before the call returns.
CKS_ENTRY_POINT(void, gradient_norm,
                (const NormTensor* tensors, std::int64_t count, double max_norm, double* norm,
                 double* factor, void* workspace));

}  // namespace cks::kernels
