#pragma once
#include "cks/core/tensor/tensor.h"

/// What filling with random numbers asks of its arguments.
namespace cks {

/// Throw DtypeError unless float32 or float64; AutogradError as fill_ does; Error for bounds that
/// are no bounds, or numbers that the dtype cannot hold.
void require_uniform(const char* operation, const Tensor& tensor, double low, double high);
void require_normal(const char* operation, const Tensor& tensor, double mean, double stddev);

}  // namespace cks
