#pragma once
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What clip_grad_norm() finds.
struct ClippedNorm {
  Tensor norm;    // float64, one element: the norm of all gradients together
  Tensor factor;  // float64, one element: for Optimizer::step
};

/// The global L2 norm of the gradients of these parameters, summed in float64, and the factor
/// min(1, max_norm / (norm + 1e-6)) that brings it down to max_norm, as PyTorch's clip_grad_norm_.
/// The gradients stay; the optimiser multiplies on the way:
///
///   const ClippedNorm clipped = clip_grad_norm(model.parameters(), 1.0);
///   optimizer.step(clipped.factor);
///
/// Missing gradients are skipped. Nothing is read on the host, so that a captured step may hold it.
/// Throws Error unless max_norm > 0; DtypeError, DeviceError for mixed devices.
ClippedNorm clip_grad_norm(const std::vector<Tensor>& parameters, double max_norm);

}  // namespace cks
